"""Each silent fault planted, and found; healthy models of each family, and nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn
from yolo_models import built, with_row

from foveal.core.errors import FovealError
from foveal.surgery.insert import insert
from foveal.surgery.remove import enable, inserted_modules
from foveal.yolo.diagnosis import doctor
from foveal.yolo.models import build_model, read_yaml
from foveal.yolo.weights import correspondence, load_transferred

pytest.importorskip("ultralytics")

CHANNELS = [16, 32, 32, 64, 64, 128, 128, 256, 256, 256, 256, 384, 128, 128, 192, 64, 64, 192, 128]
"""Of yolov8n's layers, for a CBAM after each."""


class FourParts(nn.Module):
    """Attention with a grid of 2 × 2 means: adaptive pooling to a size other than 1."""

    def __init__(self, channels: int):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.mix = nn.Conv2d(channels, channels, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mix(self.pool(x)).sigmoid()


class WindowOfTheInput(nn.Module):
    """Means over rows by a window as high as the map."""

    def __init__(self, channels: int):
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = nn.functional.avg_pool2d(x, (x.shape[2], 1))
        return x * self.mix(means).sigmoid()


@pytest.fixture(autouse=True)
def _known_to_their_yaml(monkeypatch: pytest.MonkeyPatch):
    """The hand's edit of the package."""
    from ultralytics.nn import tasks
    from ultralytics.nn.modules.conv import CBAM

    for module in (CBAM, FourParts, WindowOfTheInput):
        monkeypatch.setattr(tasks, module.__name__, module, raising=False)


@pytest.fixture(scope="module")
def bare() -> nn.Module:
    """yolov8n whose batch norms are no more as they were born."""
    model = built("yolov8n.yaml")
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point() and tensor.ndim == 1:
                tensor.add_(torch.rand_like(tensor))
    return model


def written(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump({k: v for k, v in content.items() if k != "yaml_file"}))
    return path


def checkpoint(path: Path, network: nn.Module, **arguments: Any) -> Path:
    torch.save({"model": network, "train_args": arguments}, path)
    return path


def faults(*arguments: Any, **options: Any) -> list[str]:
    return [finding.fault for finding in doctor(*arguments, **options)]


def with_cbam(after: int = 2, shift: bool = True, kind: str = "CBAM") -> dict[str, Any]:
    row = [-1, 1, kind, [CHANNELS[after]]]
    return with_row(read_yaml("yolov8n.yaml"), after + 1, row, shift)


def learned(module: nn.Module, channels: int) -> None:
    """A few steps of training, on nothing in particular."""
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.002)
    for _ in range(10):
        optimiser.zero_grad()
        x = torch.rand(4, channels, 8, 8)
        (module(x) - x.flip(0)).square().mean().backward()
        optimiser.step()


def healthy_pt(path: Path, content: dict[str, Any], bare: nn.Module, layer: int = 3) -> Path:
    """An edited model whose weights were transferred and whose added layer learned."""
    model = build_model(content)
    load_transferred(bare, model, correspondence(bare, model))
    learned(model.model[layer], CHANNELS[layer - 1])  # pyright: ignore
    return checkpoint(path, model)


QUICK = ("yolov5n.yaml", "yolov10n.yaml", "yolo11n.yaml", "rtdetr-l.yaml", "yolov8n-seg.yaml")
OTHERS = (
    *("yolov8n.yaml", "yolov8s.yaml", "yolov8n-cls.yaml", "yolov8n-p2.yaml", "yolov9t.yaml"),
    *("yolov9c.yaml", "yolov10b.yaml", "yolo11m.yaml", "yolo11n-pose.yaml", "yolo11n-obb.yaml"),
    *("yolo12n.yaml", "yolo12n-cls.yaml", "yolo26n.yaml", "yolo26n-seg.yaml", "yolov3-tiny.yaml"),
)


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
)
def test_healthy_models_have_none(name: str):
    assert doctor(name) == []


@pytest.mark.parametrize("name", ["yolov9t.yaml", "yolo26n.yaml", "yolov8n-cls.yaml"])
def test_healthy_checkpoints_have_none(name: str, tmp_path: Path):
    assert doctor(checkpoint(tmp_path / "model.pt", built(name), model=name)) == []


@pytest.mark.parametrize("after", [0, 2, 5, 13])
def test_a_from_that_was_not_shifted(after: int, tmp_path: Path):
    """Wherever a row is put in before the last that is read by number."""
    edited = tmp_path / "yolov8n-cbam.yaml"
    assert "shifted-index" not in faults(written(edited, with_cbam(after)))
    found = doctor(written(edited, with_cbam(after, shift=False)))
    shifted = [f.where for f in found if f.fault == "shifted-index"]
    # by number are read 4, 6, 9 and 12 in the neck, and 15, 18 and 21 by the head
    late = [source for source in (4, 6, 9, 12, 15, 18, 21) if source > after]
    assert len(shifted) == len(late)
    assert any("Detect" in where for where in shifted)
    told = next(f for f in found if f.where.startswith("layer") and "Detect" in f.where)
    assert "would read layer 16 (C2f)" in told.what


def test_attention_in_the_yaml_that_never_learned(bare: nn.Module, tmp_path: Path):
    content = with_cbam()
    trained = healthy_pt(tmp_path / "trained.pt", content, bare)
    assert "untrained-attention" not in faults(trained)
    model = build_model(content)
    load_transferred(bare, model, correspondence(bare, model))
    asleep = checkpoint(tmp_path / "asleep.pt", model.half())  # as checkpoints are saved
    found = [f for f in doctor(asleep) if f.fault == "untrained-attention"]
    assert [f.where for f in found] == ["layer 3 (CBAM)"]


@pytest.mark.parametrize("init", ["identity", "paper"])
def test_an_insertion_that_never_learned(init: Any, tmp_path: Path):
    model = built("yolov8n.yaml")
    insert(model, "cbam", where="4", init=init)
    (path,) = inserted_modules(model)
    found = doctor(checkpoint(tmp_path / "born.pt", model))
    assert [(f.fault, f.where) for f in found] == [("untrained-attention", path)]
    (one,) = inserted_modules(model).values()
    learned(one.mechanism, 64)
    if one.strength is not None:
        nn.init.constant_(one.strength, 0.1)
    assert doctor(checkpoint(tmp_path / "learned.pt", model)) == []


def test_an_insertion_that_was_dropped(tmp_path: Path):
    model = built("yolov8n.yaml")
    insert(model, "eca", where="4")
    for one in inserted_modules(model).values():
        learned(one.mechanism, 64)
        nn.init.constant_(one.strength, 0.1)  # pyright: ignore
    whole = checkpoint(tmp_path / "whole.pt", model, model="yolov8n-eca.yaml")
    assert doctor(whole) == []
    enable(model, False)
    off = doctor(checkpoint(tmp_path / "off.pt", model))
    assert [f.fault for f in off] == ["dropped-insertion"]
    assert "switched off" in off[0].what
    enable(model, True)
    model.model[4]._forward_hooks.clear()  # pyright: ignore
    idle = doctor(checkpoint(tmp_path / "idle.pt", model))
    assert "no hook runs it" in idle[0].what


def test_a_plan_whose_module_is_gone(tmp_path: Path):
    from foveal.surgery.insert import plan_of
    from foveal.yolo.kept_yaml import SETTINGS

    model = built("yolov8n.yaml")
    insert(model, "eca", where="4")
    plan = plan_of(model, list(inserted_modules(model).values()))
    rebuilt = built("yolov8n.yaml")  # as a trainer that knows nothing of it does
    rebuilt.yaml = {**rebuilt.yaml, SETTINGS: {"plan": plan}}  # pyright: ignore
    (found,) = doctor(checkpoint(tmp_path / "rebuilt.pt", rebuilt))
    assert (found.fault, found.where) == ("dropped-insertion", "model.4")


def test_attention_in_the_name_and_not_in_the_model(tmp_path: Path):
    plain = built("yolov8n.yaml")
    (found,) = doctor(checkpoint(tmp_path / "best.pt", plain, model="yolov8n-cbam.yaml"))
    assert found.fault == "dropped-insertion"
    assert "no layer is cbam" in found.what


def test_weights_in_the_wrong_layer(bare: nn.Module, tmp_path: Path):
    model = build_model(with_cbam())
    model.load(bare, verbose=False)  # pyright: ignore  # the package's own loading, by names
    learned(model.model[3], 32)  # pyright: ignore
    old = checkpoint(tmp_path / "old.pt", bare)
    by_names = checkpoint(tmp_path / "names.pt", model)
    found = [f for f in doctor(by_names, weights=old) if f.fault == "wrong-layer"]
    assert [f.where for f in found] == ["model.9"]
    assert "42 of 355" in found[0].why
    transferred = healthy_pt(tmp_path / "moved.pt", with_cbam(), bare)
    assert "wrong-layer" not in faults(transferred, weights=old)
    # and where the file that it began with is not at hand, by what the training arguments say
    said = checkpoint(tmp_path / "said.pt", model, pretrained="yolov8n.pt")
    assert "wrong-layer" in faults(said)


def test_weights_that_would_go_into_the_wrong_layer(bare: nn.Module, tmp_path: Path):
    old = checkpoint(tmp_path / "old.pt", bare)
    edited = written(tmp_path / "yolov8n-cbam.yaml", with_cbam())
    assert "wrong-layer" in faults(edited, weights=old)
    assert "wrong-layer" not in faults("yolov8n.yaml", weights=old)


@pytest.mark.parametrize("scale", ["n", "m"])
def test_channels_for_one_scale(scale: str, tmp_path: Path):
    """32 channels after layer 2 are right for n; at m nothing can be built."""
    content = {k: v for k, v in with_cbam().items() if k != "scale"}
    found = doctor(written(tmp_path / f"yolov8{scale}-cbam.yaml", content))
    (one,) = (f for f in found if f.fault == "unscaled-width")
    assert one.where == "layer 3 (CBAM [32])"
    assert "at scale n and not at" in one.what
    free = with_row(read_yaml("yolov8n.yaml"), 3, [-1, 1, "nn.Identity", []])
    assert doctor(written(tmp_path / "yolov8n-free.yaml", free)) == []


@pytest.mark.parametrize(
    ("kind", "what"), [("FourParts", "to 2"), ("WindowOfTheInput", "with a window of")]
)
def test_pooling_that_does_not_export(kind: str, what: str, bare: nn.Module, tmp_path: Path):
    content = with_cbam(kind=kind)
    (found,) = (
        f
        for f in doctor(written(tmp_path / "yolov8n-own.yaml", content))
        if f.fault == "export-pooling"
    )
    assert what in found.what
    assert found.where.startswith("model.3")
    saved = healthy_pt(tmp_path / "own.pt", content, bare)
    assert "export-pooling" in faults(saved)


def test_a_yaml_of_nothing(tmp_path: Path):
    content = with_row(read_yaml("yolov8n.yaml"), 3, [-1, 1, "NoSuchThing", []])
    assert faults(written(tmp_path / "yolov8n-x.yaml", content)) == ["not-built"]
    (tmp_path / "list.yaml").write_text("names: [a]")
    with pytest.raises(FovealError, match="no YAML of a model"):
        doctor(tmp_path / "list.yaml")


@pytest.mark.slow
def test_attention_that_was_trained_is_no_fault(tmp_path: Path):
    """Two epochs by the package's own trainer move a CBAM far enough to be seen."""
    from ultralytics import YOLO

    from foveal.yolo.dataset import make_dataset

    data = make_dataset(tmp_path / "shapes", images=120).data
    model = YOLO(str(written(tmp_path / "yolov8n-cbam.yaml", with_cbam())))
    model.train(
        data=str(data),
        epochs=2,
        imgsz=96,
        device="cpu",
        workers=0,
        plots=False,
        amp=False,
        project=str(tmp_path),
    )
    found = faults(Path(model.trainer.save_dir) / "weights" / "last.pt")  # pyright: ignore
    assert "untrained-attention" not in found
