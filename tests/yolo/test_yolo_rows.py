"""Mechanisms as rows of a model YAML."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import foveal
from foveal.core.errors import FovealError

ultralytics = pytest.importorskip("ultralytics", reason="needs the extra yolo")


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    from ultralytics.nn import tasks

    monkeypatch.setattr(tasks, "parse_model", tasks.parse_model)  # as it was, afterwards
    foveal.yolo.register()
    once = tasks.parse_model
    foveal.yolo.register()
    assert tasks.parse_model is once


def edited(folder: Path, row: list[Any], scale: str = "n") -> str:
    """yolov8.yaml with one more layer, number 10, behind the pooling."""
    source = Path(ultralytics.__file__).parent / "cfg/models/v8/yolov8.yaml"
    content = yaml.safe_load(source.read_text())
    for line in content["head"]:
        froms = line[0] if isinstance(line[0], list) else [line[0]]
        moved = [f + 1 if f >= 10 else f for f in froms]
        line[0] = moved if isinstance(line[0], list) else moved[0]
    content["backbone"].append(row)
    (folder / "yolov8-att.yaml").write_text(yaml.safe_dump(content))
    return str(folder / f"yolov8{scale}-att.yaml")


@pytest.mark.parametrize(("scale", "channels"), [("n", 256), ("s", 512), ("m", 576)])
def test_channels_are_right_at_every_scale(tmp_path: Path, scale: str, channels: int):
    model = ultralytics.YOLO(edited(tmp_path, [-1, 1, "se", []], scale)).model
    assert model.model[10].squeeze.in_features == channels
    assert (model.model[10].i, model.model[10].f) == (10, -1)
    assert model.model[10].np == sum(p.numel() for p in model.model[10].parameters()) > 0
    assert model(torch.rand(1, 3, 64, 96)) is not None
    assert model.model[-1].f == [16, 19, 22]


def test_options_names_in_capitals_and_repeats(tmp_path: Path):
    model = ultralytics.YOLO(edited(tmp_path, [-1, 6, "ECA", [{"kernel_size": 7}]])).model
    assert [type(m).__name__ for m in model.model[10]] == ["ECA", "ECA"]  # 6 · depth 0.33
    assert model.model[10][1].conv.kernel_size == (7,)


def test_a_yaml_without_mechanisms_is_built_as_ever():
    torch.manual_seed(0)
    one = ultralytics.YOLO("yolov8n.yaml").model.state_dict()
    torch.manual_seed(0)
    from ultralytics.nn import tasks

    two = tasks.DetectionModel(tasks.yaml_model_load("yolov8n.yaml"), verbose=False).state_dict()
    assert list(one) == list(two)
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ([-1, 1, "CBAM", [256]], "takes no channel number"),
        ([-1, 1, "cbamm", []], "did you mean cbam"),
        ([[-1, 6], 1, "eca", []], "output of one layer"),
        ([-1, 1, "eca", [{"kernel_size": 4}]], "row 10.*odd"),
    ],
)
def test_mistakes_are_said(tmp_path: Path, row: list[Any], says: str):
    with pytest.raises(FovealError, match=says):
        ultralytics.YOLO(edited(tmp_path, row))
