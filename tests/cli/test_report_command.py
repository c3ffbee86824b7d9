"""`foveal report`."""

import json
from dataclasses import asdict
from math import inf
from pathlib import Path

import pytest
from run_command import run_command

from foveal.study.records import Comparison, Run, Variant, save_run, write_json


@pytest.fixture
def study(tmp_path: Path) -> Path:
    variants = [Variant("none", "none"), Variant("eca", "attention", attention="eca")]
    plan = {"name": "tiny", "config": {}, "seeds": [0, 1], "variants": list(map(asdict, variants))}
    write_json(tmp_path / "plan.json", plan)
    for variant in variants:
        for seed in (0, 1):
            history = [{"epoch": 1, "val_metric": 0.5}]
            save_run(tmp_path, Run(variant.name, seed, 0.5, history, "host", "order", 10, 1.0))
    said = Comparison("eca", "none", 2, 0.5, 0.0, (0.0, 0.0), 1.0, 1.0, "not distinguishable", inf)
    write_json(tmp_path / "verdicts.json", [asdict(said)])
    return tmp_path


def test_prints_the_paths_it_wrote(study: Path):
    said = run_command("report", study)
    assert said.code == 0
    assert [Path(line) for line in said.out.splitlines()] == [
        study / "report" / name for name in ("index.html", "table.md", "table.tex", "table.csv")
    ]
    assert (study / "report" / "index.html").stat().st_size > 1000


def test_json_is_the_table_as_data(study: Path):
    data = json.loads(run_command("report", study, "--json").out)
    assert (data["name"], data["complete"], data["runs"], data["runs_planned"]) == (
        "tiny",
        True,
        4,
        4,
    )
    assert [row["variant"] for row in data["variants"]] == ["none", "eca"]
    assert data["variants"][1]["verdict"] == "not distinguishable"
    assert data["comparisons"][0]["smallest_effect"] is None  # JSON has no infinity
    assert data["costs"] == []


def test_open_shows_the_page(study: Path, monkeypatch: pytest.MonkeyPatch):
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    run_command("report", study, "--open")
    assert shown == [(study / "report" / "index.html").resolve().as_uri()]


def test_a_folder_without_a_study(tmp_path: Path):
    said = run_command("report", tmp_path)
    assert (said.code, said.out) == (2, "")
    assert "holds no study" in said.err
    assert said.err.count("\n") == 1


def test_a_damaged_file_is_named(study: Path):
    (study / "verdicts.json").write_text("[{")
    said = run_command("report", study)
    assert said.code == 2
    assert "verdicts.json is damaged" in said.err
