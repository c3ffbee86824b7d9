"""`foveal doctor`."""

import json
from pathlib import Path

import pytest
import yaml
from run_command import run_command

pytest.importorskip("ultralytics")


def test_a_healthy_model_ends_with_0():
    said = run_command("doctor", "yolov8n.yaml")
    assert (said.code, said.out.strip()) == (0, "yolov8n.yaml: no fault found.")


def test_a_fault_ends_with_1(tmp_path: Path):
    from foveal.yolo.models import read_yaml

    content = read_yaml("yolov8n.yaml")
    del content["yaml_file"]
    content["backbone"].insert(3, [-1, 1, "nn.Identity", []])  # and no number is shifted
    edited = tmp_path / "yolov8n-own.yaml"
    edited.write_text(yaml.safe_dump(content))
    said = run_command("doctor", edited, "--json")
    assert said.code == 1
    assert {f["fault"] for f in json.loads(said.out)["findings"]} == {"shifted-index"}
    assert "shifted-index" in run_command("doctor", edited).out


def test_no_file_is_a_mistake_and_no_fault():
    said = run_command("doctor", "nowhere.pt")
    assert said.code == 2
    assert "there is no file nowhere.pt" in said.err
