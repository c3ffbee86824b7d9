"""What the documents show is what the code does.

A fenced block `python file=docs/snippets/x.py` must equal that file, and every snippet runs.
A `console file=…` block holds commands, each after `$ `, with the output they really print.
A `yaml file=…` block is a study's configuration that Foveal reads.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from foveal import attention_info, list_attentions
from foveal.study.config import load_config

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(p for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SNIPPETS = sorted((ROOT / "docs/snippets").glob("*.py"))
STUDIES = sorted((ROOT / "docs/snippets").glob("*.yaml"))
CONSOLES = sorted((ROOT / "docs/snippets").glob("*.console"))
BLOCK = re.compile(r"^```(?:python|console|yaml) file=(\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def run(command: list[str], folder: Path) -> str:
    paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"COLUMNS": "100", "PATH": paths, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_blocks_equal_their_files(document: Path) -> None:
    for name, block in BLOCK.findall(document.read_text()):
        assert block == (ROOT / name).read_text(), f"{name} and {document.name} differ"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text()):
        assert (document.parent / link).exists(), f"{document.name} links to {link}"


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda p: p.name)
def test_snippet_runs(snippet: Path, tmp_path: Path) -> None:
    printed = run([sys.executable, str(snippet)], tmp_path)
    # A comment `# prints: …` at the end of a line states what that line prints.
    stated = re.findall(r"# prints: (.*)$", snippet.read_text(), re.MULTILINE)
    assert printed.splitlines() == stated


@pytest.mark.parametrize("console", CONSOLES, ids=lambda p: p.name)
def test_console_output_is_real(console: Path, tmp_path: Path) -> None:
    session = re.split(r"^\$ (.*)\n", console.read_text(), flags=re.MULTILINE)
    assert session[0] == "", "a console file begins with a command"
    for command, expected in zip(session[1::2], session[2::2], strict=True):
        printed = run(["sh", "-c", command], tmp_path)
        assert [line.rstrip() for line in printed.rstrip().splitlines()] == expected.splitlines()


@pytest.mark.parametrize("study", STUDIES, ids=lambda p: p.name)
def test_study_is_read(study: Path) -> None:
    assert load_config(study).name == study.stem


def test_every_snippet_is_shown_somewhere() -> None:
    shown = {name for d in DOCUMENTS for name, _ in BLOCK.findall(d.read_text())}
    assert {str(p.relative_to(ROOT)) for p in [*SNIPPETS, *CONSOLES, *STUDIES]} == shown


def test_the_readme_names_every_mechanism_of_ours() -> None:
    section = (ROOT / "README.md").read_text().split("## Mechanisms")[1].split("\n## ")[0]
    named = set(re.findall(r"`([a-z0-9_]+)`", section.split("\n\n")[1]))
    cards = map(attention_info, list_attentions())
    assert named == {c.name for c in cards if c.cls.__module__.startswith("foveal.")}
