"""`foveal choose` as a user runs it."""

import json

import pytest
from run_command import run_command
from typer.testing import CliRunner

from foveal.choose import rank
from foveal.cli import choose as command
from foveal.cli.app import app
from foveal.study.config import load_config

CNN = "builtin:small_cnn"
FEW = ("--mechanism", "se", "--mechanism", "eca", "--mechanism", "mhsa", "--where", "last_stage")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rank, "LATENCY_SECONDS", 0.02)
    monkeypatch.setenv("COLUMNS", "100")


def test_the_table(monkeypatch):
    said = run_command("choose", CNN, *FEW, "--parameters", "2%")
    assert said.code == 0, said.err
    for words in ("time over bare", "eca", "last_stage", "Nothing here is about accuracy", "cores"):
        assert words in said.out
    assert "Dropped, parameters (1 mechanism): mhsa: adds" in said.out
    assert "variants:\n  - attention: " in said.out
    assert max(map(len, said.out.splitlines())) <= 100


def test_all_reasons():
    out = run_command("choose", CNN, *FEW, "--all").out
    assert "\neca at last_stage: kept\n  timm: timm builds it by name" in out


def test_json_is_complete():
    said = run_command("choose", CNN, *FEW, "--latency", "99x", "--json")
    assert (said.code, said.err) == (0, "")
    found = json.loads(said.out)
    assert {e["mechanism"] for e in found["entries"]} == {"se", "eca", "mhsa"}
    best = found["entries"][0]
    assert best["status"] == "kept"
    assert best["rank"] == 1
    assert best["reasons"]
    assert best["timing"]["low"] <= best["timing"]["ratio"] <= best["timing"]["high"]
    assert found["budget"]["ratio"] == 99
    assert found["study"] is None


def test_a_written_study_is_read_by_foveal_study(tmp_path):
    path = tmp_path / "study.yaml"
    said = run_command("choose", CNN, "--mechanism", "se", "--mechanism", "simam", "--study", path)
    assert said.code == 0, said.err
    config = load_config(path)
    assert config.model.name == CNN
    assert {v.attention for v in config.variants} == {"se", "simam"}
    assert {v.position for v in config.variants} <= {"after", "inside_residual"}
    assert f"foveal study {path}" in " ".join(said.out.split()).replace("study/ ", "study/")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a model such as timm:resnet18"),
        (("--task", "video"), "name a model such as timm:resnet18"),
        ((CNN, "--memory", "plenty"), "memory='plenty' must be a number of bytes such as 8GB"),
        ((CNN, "--latency", "1.2"), "latency='1.2' needs a unit"),
        ((CNN, "--task", "segment"), "did you mean segmentation"),
        ((CNN, "--size", "0"), "--size 0 must be at least 1"),
        (("8x6x6", "--study", "s.yaml"), "8x6x6 is a shape; name a model"),
        ((CNN, "--frames", "4", "--study", "s.yaml"), "--frames 4 asks about clips"),
        (("8x6",), "shape '8x6' must be CxHxW such as 256x80x80"),
        (("builtin:small_cnm",), "did you mean small_cnn"),
    ],
)
def test_a_mistake_is_one_line(arguments, said):
    code, out, err = run_command("choose", *arguments)
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""


def test_the_dialogue(monkeypatch):
    asked = {}

    def answer(model, **options):
        asked.update(model=model, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "at_a_terminal", lambda: True)
    monkeypatch.setattr(command, "choose_for", answer)
    lines = ["8x6", "8x6x6", "", "plenty", "8GB", "1.2x", "none", "onxx", "onnx"]
    said = CliRunner().invoke(app, ["choose"], input="\n".join(lines) + "\n")
    assert "shape '8x6' must be" in said.output  # each is asked again until it makes sense
    assert "memory='plenty' must be" in said.output
    assert "did you mean onnx" in said.output
    assert asked["model"] == "8x6x6"
    assert asked["task"] == "classification"
    assert (asked["memory"], asked["latency"], asked["parameters"]) == ("8GB", "1.2x", None)
    assert asked["runtime"] == "onnx"


def test_with_an_option_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(command, "at_a_terminal", lambda: True)
    said = run_command("choose", "--json")
    assert (said.code, said.out) == (2, "")
