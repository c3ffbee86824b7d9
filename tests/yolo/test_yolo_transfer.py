"""Weights follow their layers through edits of a YAML."""

from pathlib import Path

import pytest
import torch
import yaml
from yolo_models import built, channels_after, with_row

from foveal.core.errors import FovealError
from foveal.yolo.models import build_model, open_checkpoint, read_yaml
from foveal.yolo.weights import correspondence, load_transferred, transfer

pytest.importorskip("ultralytics")


@pytest.fixture(autouse=True)
def _their_cbam(monkeypatch: pytest.MonkeyPatch):
    """The hand's edit of the package: its CBAM, which its YAMLs cannot name, is made known."""
    from ultralytics.nn import tasks
    from ultralytics.nn.modules.conv import CBAM

    monkeypatch.setattr(tasks, "CBAM", CBAM, raising=False)


def cbam_after(name: str, layer: int) -> dict:
    channels = channels_after(built(name), layer)
    return with_row(read_yaml(name), layer + 1, [-1, 1, "CBAM", [channels]])


def checkpoint(path: Path, model: torch.nn.Module) -> Path:
    torch.save({"model": model, "train_args": {"imgsz": 96}}, path)
    return path


def test_the_measured_example():
    """CBAM after layer 2 of yolov8n: 42 of 355 by names, 6 of them wrong; all by structure."""
    from ultralytics.utils.torch_utils import intersect_dicts

    old, new = built("yolov8n.yaml"), build_model(cbam_after("yolov8n.yaml", 2))
    by_their_rule = intersect_dicts(old.state_dict(), new.state_dict())
    found = correspondence(old, new)
    assert found.by_name == len(by_their_rule) == 42
    assert len(found.wrong) == 6
    assert all(name.startswith("model.9.") for name in found.wrong)
    assert (found.moved, found.old_tensors, found.new_tensors) == (355, 355, 358)
    assert [layer.new for layer in found.layers if layer.old is None] == [3]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        *(("yolov5n.yaml", 4), ("yolov9t.yaml", 4), ("yolov10n.yaml", 6), ("yolo11n.yaml", 16)),
        *(("yolo12n.yaml", 2), ("yolo26n.yaml", 22), ("rtdetr-l.yaml", 8), ("yolov8n-seg.yaml", 0)),
        *(("yolov8n-pose.yaml", 12), ("yolo11n-obb.yaml", 9), ("yolov8n-cls.yaml", 8)),
    ],
)
def test_every_tensor_of_every_family_finds_its_layer(name: str, layer: int):
    old = built(name)
    new = build_model(cbam_after(name, layer))
    found = correspondence(old, new)
    assert found.moved == len(old.state_dict())

    def shifted(key: str) -> str:  # the truth, from where the row was put
        _, number, rest = key.split(".", 2)
        return f"model.{int(number) + (int(number) > layer)}.{rest}"

    assert found.keys == {shifted(key): key for key in old.state_dict()}


def test_an_edited_model_computes_what_the_old_one_did():
    """CBAM made silent by hand: then all layers behind it must see what they saw."""
    old, new = built("yolov8n.yaml").eval(), build_model(cbam_after("yolov8n.yaml", 15)).eval()
    load_transferred(old, new, correspondence(old, new))
    new.model[16].forward = lambda x: x  # pyright: ignore
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(old(x)[0], new(x)[0])


def test_a_mechanism_of_foveals_in_the_yaml():
    new = build_model(with_row(read_yaml("yolov8n.yaml"), 3, [-1, 1, "cbam", []]))
    assert correspondence(built("yolov8n.yaml"), new).moved == 355


def test_two_edits_and_a_layer_taken_out():
    content = cbam_after("yolov8n.yaml", 2)
    content = with_row(content, 17, [-1, 1, "CBAM", [64]])
    old = built("yolov8n.yaml")
    assert correspondence(old, build_model(content)).moved == 355
    back = correspondence(build_model(content), old)  # from the edited one to the bare one
    assert back.moved == 355
    assert [layer.old for layer in back.layers if layer.new is None] == [3, 17]


def test_a_file_from_a_file(tmp_path: Path):
    from ultralytics import YOLO

    model = built("yolov8n.yaml", seed=5)
    old = checkpoint(tmp_path / "old.pt", model.half())
    edited = tmp_path / "yolov8-cbam.yaml"  # no letter of a scale: the checkpoint's counts
    content = {k: v for k, v in cbam_after("yolov8n.yaml", 2).items() if k != "scale"}
    edited.write_text(yaml.safe_dump(content))
    found = transfer(old, edited, tmp_path / "new.pt")
    assert found.moved == 355
    reopened = YOLO(str(tmp_path / "new.pt"))
    weights, theirs = model.float().state_dict(), reopened.model.state_dict()
    assert all(torch.equal(theirs[new], weights[was]) for new, was in found.keys.items())
    assert reopened.task == "detect"
    tensors = transfer(old, edited, tmp_path / "new.safetensors").written
    assert tensors is not None
    from safetensors.torch import load_file

    assert load_file(tensors).keys() == theirs.keys()


def test_the_head_is_left_when_the_classes_are_others(tmp_path: Path):
    old = checkpoint(tmp_path / "old.pt", built("yolov8n.yaml"))
    assert transfer(old, "yolov8n.yaml").moved == 355
    found = transfer(old, "yolov8n.yaml", classes=6)
    lost = [layer for layer in found.layers if layer.left]
    assert [layer.kind for layer in lost] == ["Detect"]
    assert "was [80" in lost[0].why


def test_what_cannot_be_done_is_said(tmp_path: Path):
    old = checkpoint(tmp_path / "old.pt", built("yolov8n.yaml"))
    taken = tmp_path / "taken.pt"
    taken.write_text("mine")
    (tmp_path / "no.pt").write_text("no pickle")
    unknown = tmp_path / "yolov8n-x.yaml"
    unknown.write_text(
        yaml.safe_dump(with_row(read_yaml("yolov8n.yaml"), 3, [-1, 1, "NoSuchThing", []]))
    )
    for arguments, words in (
        ((old, "yolov8n.yaml", taken), "exists"),
        ((old, "yolov8n.yaml", tmp_path / "a.onnx"), "must end in"),
        ((tmp_path / "none.pt", "yolov8n.yaml"), "there is no file"),
        ((tmp_path / "no.pt", "yolov8n.yaml"), "no checkpoint"),
        ((old, "nowhere.yaml"), "there is no file"),
        ((old, "https://example.org/yolov8n.yaml"), "nothing is downloaded"),
        ((old, unknown), "row 3 of the YAML names 'NoSuchThing'"),
    ):
        with pytest.raises(FovealError, match=words):
            transfer(*arguments)
    assert taken.read_text() == "mine"
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "other.pt")
    with pytest.raises(FovealError, match="no model of the YOLO families"):
        open_checkpoint(tmp_path / "other.pt")
