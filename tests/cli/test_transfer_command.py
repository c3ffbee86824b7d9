"""`foveal transfer`."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from run_command import run_command

pytest.importorskip("ultralytics")


def test_reports_and_writes(tmp_path: Path):
    from foveal.yolo.models import build_model, read_yaml

    content = read_yaml("yolov8n.yaml")
    torch.save({"model": build_model(content)}, tmp_path / "old.pt")
    del content["scale"], content["yaml_file"]
    # a layer more at the end of the backbone; every later number shifted
    content["backbone"].append([-1, 1, "nn.Identity", []])
    for row in content["head"]:
        shift = [f + 1 if f > 9 else f for f in ([row[0]] if isinstance(row[0], int) else row[0])]
        row[0] = shift[0] if isinstance(row[0], int) else shift
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(content))
    asked = ("transfer", tmp_path / "old.pt", tmp_path / "new.yaml")
    said = run_command(*asked, "--out", tmp_path / "new.pt")
    assert "355 of 355 tensors find their layer" in said.out
    assert (tmp_path / "new.pt").is_file()
    data = json.loads(run_command(*asked, "--json").out)
    assert data["moved"] == 355
    assert data["by_name"] < 355
    assert run_command(*asked, "--out", tmp_path / "new.pt").code == 2
