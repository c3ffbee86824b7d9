"""The command as a whole: help, exit codes, and no traceback for a user's mistake."""

import json
import re
import subprocess
import sys

import pytest
from run_command import run_command

from foveal.cli.app import app
from foveal.core.registry import list_attentions

VERBS = sorted(str(command.name) for command in app.registered_commands)


def test_as_a_module_in_a_process_of_its_own():
    command = [sys.executable, "-m", "foveal", "info", "ecaa"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("foveal: there is no attention 'ecaa'; did you mean eca")
    assert done.stderr.count("\n") == 1


def test_help_names_every_verb():
    said = run_command("--help")
    assert said.code == 0
    for verb in VERBS:
        assert f"\n  {verb} " in said.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str):
    said = run_command(verb, "--help")
    assert said.code == 0
    assert said.out.startswith(f"Usage: foveal {verb}")
    assert f"foveal {verb}" in " ".join(said.out.split("\n", 1)[1].split())
    assert "Example" in said.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_can_print_json(verb: str):
    assert "--json" in run_command(verb, "--help").out


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_option_is_refused(verb: str):
    said = run_command(verb, "--no-such-option")
    assert said.code == 2
    assert "--no-such-option" in said.err
    assert "Traceback" not in said.err


def test_an_unknown_verb_is_refused():
    said = run_command("nonsense")
    assert said.code == 2
    assert "nonsense" in said.err
    assert "Traceback" not in said.err


def test_list_as_json():
    said = run_command("list", "--json")
    assert [card["name"] for card in json.loads(said.out)] == list_attentions()
    assert json.loads(run_command("list", "zz*", "--json").out) == []


def test_list_for_people(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    said = run_command("list")
    assert said.code == 0
    for name in list_attentions():
        assert f"\n   {name} " in said.out
    assert max(map(len, said.out.splitlines())) <= 80
    assert "Nothing matches" in run_command("list", "zz*").out


def test_the_papers_are_listed_where_there_is_room(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "140")
    assert "ECA-Net, CVPR 2020" in run_command("list").out


def test_list_refuses_a_family_that_is_not_there():
    said = run_command("list", "--family", "chanel")
    assert (said.code, said.out) == (2, "")
    assert "did you mean channel" in said.err


def test_info_as_json():
    card = json.loads(run_command("info", "eca", "--json").out)
    assert card["name"] == "eca"
    assert card["url"] == "https://arxiv.org/abs/1910.03151"
    assert "kernel_size" in card["options"]


@pytest.mark.parametrize("name", list_attentions())
def test_info_for_people(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    said = run_command("info", name)
    assert said.code == 0
    assert said.out.startswith(f"{name}\n")
    card = said.out.split("\n\nOptions\n")[0]
    prose = re.sub(r"\$\$.+?\$\$", "", card, flags=re.DOTALL).splitlines()  # LaTeX keeps its lines
    assert [line for line in prose if len(line.rstrip()) > 80 and " " in line.strip()] == []


def test_an_ambiguous_name_lists_its_meanings():
    said = run_command("info", "sa")
    assert said.code == 2
    assert "shuffle" in said.err
    assert said.err.count("\n") == 1
