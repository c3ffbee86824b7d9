"""Training: what was inserted is there afterwards, has learned, and goes on."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import foveal
from foveal.core.errors import FovealError
from foveal.yolo import make_dataset

pytest.importorskip("ultralytics", reason="needs the extra yolo")

ROOT = str(Path(foveal.__file__).parents[1])
PLACES = ["model.6.foveal_attention", "model.9.foveal_attention"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_dataset(tmp_path_factory.mktemp("data") / "made", images=12, size=64).data)


def small(data: str, folder: Path, **more: Any) -> dict[str, Any]:
    """Arguments of a training that takes seconds."""
    size = {"data": data, "imgsz": 64, "epochs": 1, "batch": 4, "plots": False, "amp": False}
    return size | {"project": str(folder), "name": "run", "exist_ok": True, "verbose": False} | more


def with_cbam(source: str = "yolov8n.yaml") -> Any:
    from ultralytics import YOLO

    model = YOLO(source)
    torch.manual_seed(0)
    foveal.insert(model, "cbam", where="backbone.last2")  # pyright: ignore
    return model


def strengths(model: Any) -> list[float]:
    return [m.strength.item() for m in foveal.inserted_modules(model).values() if m.strength]  # pyright: ignore


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": ROOT}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def trained(data: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    model = with_cbam()
    model.train(**small(data, tmp_path_factory.mktemp("trained")), attention_lr=4.0)
    return model


def test_train_keeps_and_teaches_it(trained: Any):
    assert list(foveal.inserted_modules(trained)) == PLACES
    assert all(strengths(trained))
    assert all(m.mechanism.training is False for m in foveal.inserted_modules(trained).values())


def test_it_learns_at_a_rate_of_its_own(trained: Any):
    groups = trained.trainer.optimizer.param_groups
    ours = {
        p for m in foveal.inserted_modules(trained.trainer.model).values() for p in m.parameters()
    }
    rates = {
        kind: {g["initial_lr"] for g in groups if (g["params"][0] in ours) == kind}
        for kind in (True, False)
    }
    assert len(rates[True]) == len(rates[False]) == 1
    assert rates[True].pop() == pytest.approx(4 * rates[False].pop())
    grouped = [p for g in groups for p in g["params"]]
    assert len(grouped) == len(set(grouped))
    assert ours <= set(grouped)
    decays = {g["weight_decay"] for g in groups for p in g["params"] if p.ndim == 1 and p in ours}
    assert 0.0 in decays


FRESH = """
import sys
from ultralytics import YOLO
model = YOLO(sys.argv[1])
names = [name.removeprefix("model.") for name, _ in model.named_modules()]
print([name for name in names if name.endswith("foveal_attention")])
results = model.val(data=sys.argv[2], imgsz=64, plots=False, verbose=False, project=sys.argv[4])
print(results.results_dict)
print(float(model.predict(sys.argv[3], imgsz=64, conf=1e-6, verbose=False)[0].boxes.data.sum()))
try:
    model.train(data=sys.argv[2], epochs=1, imgsz=64)
except Exception as error:
    print(type(error).__name__, str(error))
"""


def test_plain_yolo_opens_it_in_a_fresh_process_and_does_not_lose_it(
    trained: Any, data: str, tmp_path: Path
):
    picture = next(Path(data).parent.rglob("val/*.*"))
    done = python(FRESH, trained.trainer.best, data, picture, tmp_path)
    assert done.returncode == 0, done.stderr
    places, metrics, boxes, refusal = done.stdout.strip().splitlines()[-4:]
    assert places == str(PLACES)
    here = trained.val(data=data, imgsz=64, plots=False, project=str(tmp_path)).results_dict
    assert metrics == str(here)
    seen = trained.predict(picture, imgsz=64, conf=1e-6, verbose=False)[0].boxes.data.sum()
    assert float(boxes) == float(seen)
    assert refusal.startswith("FovealError the model holds mechanisms")
    assert "foveal.yolo.keep" in refusal


def test_levels_learn_are_found_and_are_exported(data: str, tmp_path: Path):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    options = small(data, tmp_path) | {"epochs": 1}
    done = foveal.yolo.train("yolov8n.yaml", "eca", across_levels=True, **options)
    (found,) = done.strengths.values()
    assert found is not None
    assert len(found) == 3
    assert all(found)
    plain: Any = __import__("ultralytics").YOLO(str(done.best))
    assert list(foveal.inserted_modules(plain)) == ["model.22.foveal_attention"]
    assert not [f for f in foveal.yolo.doctor(done.best) if f.fault == "untrained-attention"]
    assert foveal.yolo.export(done.best, "onnx", imgsz=64).path.is_file()


def test_track_follows_with_it(trained: Any):
    pytest.importorskip("lap", reason="ultralytics' trackers need lap")
    from ultralytics.utils import ASSETS

    pictures = sorted(Path(ASSETS).glob("*.jpg"))
    model = foveal.yolo.YOLO(str(trained.trainer.best))
    for picture in (pictures[0], pictures[0]):
        (seen,) = model.track(picture, imgsz=64, conf=1e-4, persist=True, verbose=False)
    assert list(foveal.inserted_modules(model)) == PLACES
    assert seen.boxes is not None
    assert model.predictor.trackers


def test_without_foveal_it_says_what_is_missing(trained: Any):
    code = (
        "import sys; sys.modules['foveal'] = None\nfrom ultralytics import YOLO\nYOLO(sys.argv[1])"
    )
    done = python(code, trained.trainer.best)
    assert done.returncode == 1
    assert "foveal" in done.stderr.splitlines()[-1]
    assert "ModuleNotFoundError" in done.stderr.splitlines()[-1]


def test_a_new_number_of_classes_leaves_out_only_the_class_head(
    trained: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    from foveal.yolo.trainer import DetectionTrainer, host_transfer

    two = make_dataset(tmp_path / "two", images=12, size=64, classes=("disc", "star"))
    weights = foveal.yolo.YOLO(str(trained.trainer.best)).model
    overrides = small(str(two.data), tmp_path, model=str(trained.trainer.best))
    trainer = DetectionTrainer(overrides=overrides)
    new: Any = trainer.get_model(weights=weights, cfg=weights.yaml)
    assert list(foveal.inserted_modules(new)) == PLACES
    assert strengths(new) == strengths(weights)
    kept, missed = host_transfer(new, weights)
    assert kept + len(missed) == 355
    assert missed
    assert all(key.startswith("model.22.cv3.") for key in missed)


def test_the_host_can_be_frozen(trained: Any, data: str, tmp_path: Path):
    model = foveal.yolo.YOLO(str(trained.trainer.best))
    before = {k: v.clone() for k, v in model.model.state_dict().items()}
    model.train(**small(data, tmp_path), freeze_host=True)
    after = model.model.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed
    assert all(".foveal_attention." in key for key in changed)


def test_distributed_workers_are_sent_it(trained: Any, data: str, tmp_path: Path):
    """ultralytics hands its workers a file: the trainer's class by name, and the network."""
    from ultralytics.utils.dist import ddp_cleanup, generate_ddp_file

    trainer = trained.trainer
    script = generate_ddp_file(trainer)
    code = (
        "import sys, torch\n"
        "state = torch.load(sys.argv[1], weights_only=False)\n"
        "trainer = state['trainer'](overrides=state['args'] | {'save_dir': sys.argv[2]})\n"
        "trainer.model = state['model']\n"
        "cls = type(trainer)\n"
        "print(cls.__module__, cls.__name__, trainer.learning()['attention_lr'])\n"
        "print(sum('foveal_attention' in key for key in trainer.model.state_dict()) > 0)"
    )
    try:
        done = python(code, Path(script).with_suffix(".pt"), tmp_path / "worker")
    finally:
        ddp_cleanup(trainer, script)
    assert done.stdout.splitlines()[-2:] == ["foveal.yolo.trainer DetectionTrainer 4.0", "True"]


def test_a_trainer_that_would_lose_it_is_refused(trained: Any, data: str, tmp_path: Path):
    from ultralytics.models.yolo.detect import DetectionTrainer

    class Own(DetectionTrainer):
        pass

    with pytest.raises(FovealError, match="KeepsInsertions"):
        trained.train(trainer=Own, **small(data, tmp_path))


def test_what_no_checkpoint_could_name_is_refused_before_training(data: str, tmp_path: Path):
    from ultralytics import YOLO

    class Local(nn.Module):
        def __init__(self, channels: int):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(channels, 1, 1))

        def forward(self, x: foveal.Map) -> foveal.Map:
            return x * self.gain

    model: Any = YOLO("yolov8n.yaml")
    foveal.insert(model, Local, where="sppf")
    with pytest.raises(FovealError, match="no checkpoint can name"):
        model.train(**small(data, tmp_path))
    assert not list(tmp_path.iterdir())


def test_freezing_with_nothing_inserted_is_refused(data: str, tmp_path: Path):
    with pytest.raises(FovealError, match="nothing to learn"):
        foveal.yolo.YOLO("yolov8n.yaml").train(**small(data, tmp_path), freeze_host=True)


def test_keep_changes_one_object_and_nothing_else():
    from ultralytics import YOLO

    model, other = YOLO("yolov8n.yaml"), YOLO("yolov8n.yaml")
    assert foveal.yolo.keep(model) is model
    assert isinstance(model, foveal.yolo.YOLO)
    assert isinstance(model, YOLO)
    assert type(other) is YOLO
    assert other.task_map["detect"]["trainer"].__module__.startswith("ultralytics.")
    with pytest.raises(FovealError, match="takes a YOLO"):
        foveal.yolo.keep(nn.Identity())


KILLED = """
import os, signal, sys
import foveal
from ultralytics import YOLO
model = YOLO("yolov8n.yaml")
foveal.insert(model, "cbam", where="backbone.last2")
model.add_callback("on_model_save", lambda trainer: os.kill(os.getpid(), signal.SIGKILL))
model.train(data=sys.argv[1], imgsz=64, epochs=2, batch=4, plots=False, amp=False,
            project=sys.argv[2], name="run", attention_lr=3.0)
"""


def test_resume_after_a_kill(data: str, tmp_path: Path):
    done = python(KILLED, data, tmp_path)
    assert done.returncode == -9, done.stderr
    last = tmp_path / "run/weights/last.pt"
    model: Any = foveal.yolo.YOLO(str(last))
    before = strengths(model)
    assert all(before)
    model.train(resume=True)
    assert model.trainer.start_epoch == 1
    assert model.trainer.learning()["attention_lr"] == 3.0
    assert list(foveal.inserted_modules(model)) == PLACES
    assert strengths(foveal.yolo.YOLO(str(last))) != before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolov8n-cls.yaml", "yolo11n.yaml", "yolo26n.yaml"])
def test_other_models_train(name: str, data: str, tmp_path: Path):
    if "-cls" in name:
        data = str(_pictures_by_class(tmp_path / "pictures"))
    model = with_cbam(name)
    model.train(**small(data, tmp_path / "out"))
    assert all(strengths(model))


@pytest.mark.slow
def test_tune_keeps_it(data: str, tmp_path: Path):
    model = with_cbam()
    model.tune(**small(data, tmp_path, name="tune"), iterations=1, space={"lr0": (1e-3, 1e-2)})
    best = next(tmp_path.rglob("tune/weights/best.pt"))
    assert all(strengths(foveal.yolo.YOLO(str(best))))


def _pictures_by_class(folder: Path) -> Path:
    from PIL import Image

    for split in ("train", "val"):
        for name, colour in (("red", (200, 0, 0)), ("blue", (0, 0, 200))):
            (folder / split / name).mkdir(parents=True)
            for i in range(4):
                picture = Image.new("RGB", (64, 64), colour)
                picture.putpixel((i, i), (255, 255, 255))
                picture.save(folder / split / name / f"{i}.png")
    return folder
