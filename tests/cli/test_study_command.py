import json

import pytest
import yaml
from run_command import run_command

from foveal.study import costs
from foveal.study.records import load_study

STUDY = {
    "name": "small",
    "variants": [{"attention": "eca", "where": "stages.2"}],
    "data": {"train_limit": 96, "test_limit": 50},
    "training": {"epochs": 1, "batch_size": 32},
    "seeds": 2,
}


@pytest.fixture
def config(tmp_path):
    def write(**changes):
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump(STUDY | changes))
        return path

    return write


def test_a_study_prints_verdicts_and_writes_its_report(config, tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "SECONDS", 0.1)
    out = tmp_path / "out"
    said = run_command("study", config(), "--out", out, "--workers", 1)
    assert said.code == 0, said.err
    assert "Blind: with 2 seeds" in said.err  # before anything is trained
    for name in ("none", "eca", "eca-frozen", "eca-matched"):
        assert name in said.out
    assert "not distinguishable" in said.out
    assert "with so few seeds nothing could have been" in said.out
    assert (out / "report" / "index.html").is_file()

    again = run_command("study", config(), "--out", out)
    assert again.code == 2
    assert "--resume" in again.err
    resumed = run_command("study", config(), "--out", out, "--resume", "--json")
    data = json.loads(resumed.out)
    assert data["seeds"] == [0, 1]
    assert len(data["comparisons"]) == 5
    assert data["comparisons"][0]["smallest_effect"] is None  # infinite
    assert {row["variant"] for row in data["variants"]} == {
        v.name for v in load_study(out).variants
    }


def test_dry_run_checks_all_and_trains_nothing(config, tmp_path):
    said = run_command("study", config(seeds=8), "--out", tmp_path / "out", "--dry-run")
    assert said.code == 0, said.err
    assert "stages.2" in said.out
    assert "32 runs" in said.out
    assert "will be found with" in " ".join(said.out.split())
    assert not (tmp_path / "out").exists()
    plan = json.loads(run_command("study", config(), "--dry-run", "--json").out)
    assert plan["runs"] == 8
    assert plan["power"]["blind"] is True


def test_a_mistake_is_one_line_with_its_place(config):
    path = config(trainin={"epochs": 1})
    said = run_command("study", path)
    assert said.code == 2
    assert said.out == ""
    assert "no key 'trainin'; did you mean training?" in said.err
    assert f"{path}:" in said.err
    assert "Traceback" not in said.err


def test_a_place_that_does_not_exist_is_told_before_training(config, tmp_path):
    path = config(variants=[{"attention": "eca", "where": "stages.9"}])
    said = run_command("study", path, "--out", tmp_path / "out")
    assert said.code == 2
    assert "variant eca: where='stages.9'" in said.err
    assert not (tmp_path / "out").exists()


def test_a_missing_extra_is_named(config, monkeypatch):
    monkeypatch.setattr("foveal.cli.study.find_spec", lambda module: None)
    monkeypatch.setitem(__import__("sys").modules, "lightning", None)
    said = run_command("study", config())
    assert said.code == 2
    assert "foveal[study]" in said.err
