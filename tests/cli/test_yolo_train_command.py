"""`foveal yolo train`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foveal.cli.app import app
from foveal.core.errors import FovealError
from foveal.yolo import make_dataset

pytest.importorskip("ultralytics", reason="needs the extra yolo")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {
        "YOLO_OFFLINE": "true",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_CONFIG_DIR": str(tmp_path / "config"),
        "YOLO_VERBOSE": "false",
    }.items():
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(tmp_path)


def call(*words: str) -> str:
    done = CliRunner().invoke(app, ["yolo", "train", *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_every_argument_passes_through(tmp_path: Path):
    make_dataset(tmp_path / "made", images=12, size=64)
    words = ["--model", "yolov8n.yaml", "--attention", "eca", "--where", "neck.out", "--where", "4"]
    data = ["data=made/data.yaml", "--imgsz", "64", "epochs=1", "--batch=4", "amp=False"]
    out = call(*words, *data, "--plots", "False", "name=one", "--freeze-host", "--json")
    told = json.loads(out[out.index("{\n") :])
    assert len(told["strengths"]) == 4
    assert any(told["strengths"].values())
    assert told["insertion"]["keys_kept"] == 355
    best = Path(told["best"])
    assert best == tmp_path / "runs/detect/one/weights/best.pt"
    record = json.loads((best.parents[1] / "foveal.json").read_text())
    assert record["metrics"] == told["metrics"]
    with pytest.raises(FovealError, match="has its attention already"):
        call("--model", str(best), "--attention", "eca", "--resume")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model", "yolov8n.pt", "data=x.yaml"], "--download"),
        (["--model", "yolov8n.yaml", "data=x.yaml"], "there is no x.yaml"),
        (["--model", "yolov8n.yaml"], "give data=my.yaml"),
        (["--model", "yolov8n.yaml", "data=x.yaml", "epoch=3"], "did you mean epochs"),
        (["--model", "yolov8n.yaml", "x.yaml"], "write name=value"),
    ],
)
def test_mistakes_are_said_before_anything_is_written(words: list[str], says: str, tmp_path: Path):
    with pytest.raises(FovealError, match=says):
        call(*words, "--attention", "eca")
    assert not (tmp_path / "runs").exists()
