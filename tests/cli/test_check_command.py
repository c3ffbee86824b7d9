"""`foveal check`: the laws on the command line."""

import json
import sys

import pytest
from run_command import run_command

from foveal import list_attentions

QUICK = ("--law", "shape", "--law", "input_untouched")

THEIRS = """
import torch
from torch import nn
from foveal import Map

class Fine(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, 1)
    def forward(self, x: Map) -> Map:
        return x * self.layer(x).sigmoid()

class Square(Fine):
    def forward(self, x: Map) -> Map:
        return x @ super().forward(x)

Number = 3
"""


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A module of somebody's own, in the folder where the command is run."""
    (tmp_path / "their_gates.py").write_text(THEIRS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # the command adds the folder


def test_json_for_several_names():
    said = run_command("check", "eca", "mhsa", *QUICK, "--json")
    kept = [
        {"check": "shape", "status": "passed", "reason": ""},
        {"check": "input_untouched", "status": "passed", "reason": ""},
    ]
    assert said.code == 0
    assert json.loads(said.out) == {"eca": kept, "mhsa": kept}


def test_table_and_status_of_a_class_that_breaks_a_law(theirs):
    said = run_command("check", "py:their_gates:Square", "py:their_gates:Fine", *QUICK)
    assert said.code == 1
    assert said.err == ""
    text = " ".join(said.out.split())
    assert "py:their_gates:Square" in text
    assert "broken" in text
    assert "6×9, B=2" in text
    assert said.out.endswith("1 law broken\n")


def test_class_that_keeps_the_laws(theirs):
    said = run_command("check", "py:their_gates:Fine", *QUICK)
    assert said.code == 0
    assert said.out.endswith("no laws broken\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ecaa"], "there is no attention 'ecaa'; did you mean eca"),
        (["sa"], "'sa' means several mechanisms"),
        (["eca", "--law", "shapes"], "did you mean shape?"),
        (["py:their_gates"], "must be py:package.module:name"),
        (["py:absent_gates:Gate"], "there is no module 'absent_gates'"),
        (["py:their_gates:Fin"], "no function or class 'Fin'; did you mean Fine?"),
        (["py:their_gates:Number"], "no function or class 'Number'"),
    ],
)
def test_mistake_is_one_line_and_nothing_is_checked(theirs, arguments, message):
    said = run_command("check", *arguments)
    assert said.code == 2
    assert said.out == ""
    assert message in said.err
    assert said.err.count("\n") == 1


def test_all_of_them_on_one_law():
    said = run_command("check", "--all", "--law", "input_untouched")
    assert said.code == 0
    assert f"{len(list_attentions())} mechanisms" in said.out
    assert said.out.endswith("no limits declared\nno laws broken\n")


@pytest.mark.parametrize("arguments", [(), ("eca", "--all")])
def test_names_or_all(arguments):
    said = run_command("check", *arguments)
    assert said.code == 2
    assert "takes names, or --all" in said.err
