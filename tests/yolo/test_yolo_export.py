"""Export: right files are kept, wrong ones are not called good."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import foveal
from foveal.cli.app import app
from foveal.core.errors import FovealError
from foveal.yolo.difference import largest_difference
from foveal.yolo.exporting import Comparison, export, photographs

pytest.importorskip("ultralytics", reason="needs the extra yolo")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")


class Baked(nn.Module):
    """Right where it was traced, and wrong anywhere else: the width is written into the file."""

    def __init__(self, channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: foveal.Map) -> foveal.Map:
        return x * self.gain * float(int(x.shape[-1]))


class Chaotic(nn.Module):
    """Float32 and float64 have nothing in common there."""

    def __init__(self, channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: foveal.Map) -> foveal.Map:
        return x + self.gain * (x * 1e8).sin()


def stirred(path: Path, attention: Any, name: str = "yolov8n.yaml") -> Path:
    """A checkpoint whose outputs depend on its pictures and on its mechanisms."""
    from ultralytics import YOLO

    torch.manual_seed(0)
    model: Any = YOLO(name)
    foveal.insert(model, attention, where="head.in", init="paper")
    for module in model.model.modules():
        if isinstance(module, nn.BatchNorm2d):  # without its statistics, the signal dies on its way
            module.momentum = None
    seen = photographs(192, 256, 3)  # of noise, photographs would grow from layer to layer
    with torch.no_grad():
        model.model.train()(torch.cat([seen, seen.flip(2), seen.flip(3)]))
    model.model.eval()
    model.save(path)
    return path


def test_a_right_file_is_kept(tmp_path: Path):
    checkpoint = stirred(tmp_path / "best.pt", "cbam")
    done = CliRunner().invoke(app, ["export", str(checkpoint), "--to", "onnx", "--imgsz", "64"])
    assert done.exit_code == 0, done.exception
    assert "best.onnx against the model, on 2" in done.stdout
    assert "says little" not in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.onnx", "best.pt"]


def test_every_size_is_compared(tmp_path: Path):
    checkpoint = stirred(tmp_path / "best.pt", "eca")
    done = export(checkpoint, "torchscript", imgsz=64, out=tmp_path / "there/model.torchscript")
    assert done.path == tmp_path / "there/model.torchscript"
    assert done.path.is_file()
    sizes = [(c.height, c.width, c.traced) for c in done.comparisons]
    assert sizes == [(64, 64, True), (96, 160, False), (64, 96, False)]
    assert all(c.difference < 1e-3 for c in done.comparisons)
    assert done.attention is not None
    assert done.attention > 0.01


def test_a_folder_of_openvino_is_run_and_replaced_whole(tmp_path: Path):
    pytest.importorskip("openvino", reason="needs the extra openvino")
    checkpoint = stirred(tmp_path / "best.pt", "eca")
    for _ in range(2):
        done = export(checkpoint, "openvino", imgsz=64)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["best.pt", "best_openvino_model"]
        assert any(done.path.glob("*.xml"))
        assert all(c.difference < 1e-3 for c in done.comparisons)


@pytest.mark.parametrize("to", ["onnx", "torchscript", "openvino"])
def test_a_wrong_file_is_not_called_good(tmp_path: Path, to: str):
    if to == "openvino":
        pytest.importorskip("openvino", reason="needs the extra openvino")
    checkpoint = stirred(tmp_path / "best.pt", Baked)
    done = CliRunner().invoke(app, ["export", str(checkpoint), "--to", to, "--imgsz", "64"])
    assert done.exit_code != 0
    assert isinstance(done.exception, FovealError)
    assert "does not compute what the model computes" in str(done.exception)
    assert "at 96×160" in str(done.exception)
    assert [p.name for p in tmp_path.iterdir()] == ["best.pt"]


def test_a_network_that_no_comparison_fits_is_named_so(tmp_path: Path):
    checkpoint = stirred(tmp_path / "best.pt", Chaotic)
    with pytest.raises(FovealError, match="so sensitive a one, as of random weights, cannot be"):
        export(checkpoint, "onnx", imgsz=64)
    assert [p.name for p in tmp_path.iterdir()] == ["best.pt"]


def test_what_cannot_be_checked_is_refused(tmp_path: Path):
    checkpoint = tmp_path / "best.pt"
    with pytest.raises(FovealError, match="there is no checkpoint"):
        export(checkpoint)
    checkpoint.touch()
    with pytest.raises(FovealError, match="did you mean onnx"):
        export(checkpoint, "onn")
    with pytest.raises(FovealError, match="cannot compare"):
        export(checkpoint, dynamic=False)


def test_what_rounding_does_to_the_model_is_allowed_for_within_limits():
    c = Comparison(64, 64, True, 2, 3e-3)
    assert c.allowed(1e-3) == 1e-3
    assert replace(c, rounding=1e-4).allowed(1e-3) == 1e-3
    assert replace(c, rounding=1e-3).allowed(1e-3) == 4e-3
    assert replace(c, rounding=0.5).allowed(1e-3) == 1e-2


def test_the_difference_sees_small_channels_and_swapped_rows():
    a = torch.stack([torch.rand(50) * 640, torch.rand(50) * 1e-2])[None]
    wrong = a.clone()
    wrong[:, 1] *= 1.5
    assert largest_difference([a], [wrong], ranked=False) == pytest.approx(0.5)
    assert largest_difference([a], [a[:, :1]], ranked=False) == float("inf")
    assert largest_difference([a], [a * float("nan")], ranked=False) == float("inf")
    rows = torch.rand(1, 100, 6)
    swapped: Tensor = rows[:, torch.randperm(100)]
    assert largest_difference([rows], [swapped], ranked=True) == 0
    swapped[:, :10] += 0.5
    assert largest_difference([rows], [swapped], ranked=True) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("yolov8n-seg.yaml", "yolo26n-pose.yaml", "yolo11n-obb.yaml", "yolov8n-cls.yaml"),
        *("yolov5n.yaml", "yolov9t.yaml", "yolov10n.yaml", "yolo12n.yaml", "yolo26n.yaml"),
    ],
)
@pytest.mark.parametrize("to", ["onnx", "torchscript"])
def test_every_head_exports(tmp_path: Path, name: str, to: str):
    done = export(stirred(tmp_path / "best.pt", "cbam", name), to, imgsz=160)
    assert len(done.comparisons) == 3
