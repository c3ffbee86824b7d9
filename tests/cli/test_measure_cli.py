"""`foveal measure` as a user runs it."""

import json
import sys

import pytest

from foveal.cli import main
from foveal.cli.measure import measure


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["foveal", "measure", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


def test_beside_the_bare_model(run):
    code, out, _ = run(
        "builtin:small_cnn", "--attention", "eca", "--batch", "2", "--seconds", "0.1", "--json"
    )
    assert code == 0
    found = json.loads(out)
    assert list(found) == ["bare", "with eca"]
    bare, changed = found.values()
    assert changed["parameters"] > bare["parameters"]
    assert changed["multiply_adds"] > bare["multiply_adds"]
    assert changed["bytes_moved"] > bare["bytes_moved"]
    assert bare["flops"]["agree"]
    assert changed["flops"]["agree"]
    assert bare["latency"] is None
    low, high = changed["latency"]["ratio_interval"]
    assert low <= changed["latency"]["ratio"] <= high
    assert changed["input"] == "tensor of shape (2, 1, 16, 16)"


def test_the_table(run):
    code, out, _ = run("builtin:small_cnn", "--attention", "se", "--seconds", "0.1")
    assert code == 0
    for words in ("parameters", "bytes moved", "peak memory", "time over bare", "agree", "torch"):
        assert words in out


def test_bare_and_without_times(run):
    code, out, _ = run("builtin:small_cnn", "--seconds", "0", "--size", "24", "--json")
    assert code == 0
    found = json.loads(out)
    assert list(found) == ["bare"]
    assert found["bare"]["latency"] is None
    assert found["bare"]["input"] == "tensor of shape (1, 1, 24, 24)"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["builtin:small_cnn", "--attention", "ecaa"], "did you mean eca"),
        (["builtin:small_cnm"], "did you mean small_cnn"),
        (["builtin:small_cnn", "--size", "0"], "--size 0 must be at least 1"),
        (["builtin:small_cnn", "--seconds", "-1"], "--seconds -1"),
        (["builtin:small_cnn", "--attention", "eca", "--where", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_line(run, arguments, said):
    code, out, err = run(*arguments)
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""


def test_help_has_an_example():
    assert "Example: foveal measure" in (measure.__doc__ or "")
