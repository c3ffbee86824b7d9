import json
from dataclasses import asdict, replace

import pytest
from small_study import SMALL

from foveal import FovealError
from foveal.study import costs, folder, trial, workers
from foveal.study.config import DataConfig, ModelConfig, VariantConfig
from foveal.study.folder import alone
from foveal.study.prepare import prepare
from foveal.study.records import load_study
from foveal.study.run import run_study


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study, and what was said on the way. Tests must not change its folder."""
    said: list[str] = []
    out = tmp_path_factory.mktemp("studies") / "small"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs, "SECONDS", 0.2)
        study = run_study(SMALL, out, workers=1, progress=False, say=said.append)
    return study, said


def accuracies(study) -> dict:
    return {(run.variant, run.seed): (run.metric, run.history) for run in study.runs}


def test_a_study_leaves_runs_costs_and_verdicts(finished):
    study, _ = finished
    assert study.complete
    assert [v.name for v in study.variants] == ["none", "eca", "eca-frozen", "eca-matched"]
    assert len(study.runs) == 8
    assert {c.variant for c in study.costs} == {v.name for v in study.variants}
    pairs = {(c.variant, c.baseline) for c in study.comparisons}
    assert pairs == {
        ("eca", "none"),
        ("eca-frozen", "none"),
        ("eca-matched", "none"),
        ("eca", "eca-frozen"),
        ("eca", "eca-matched"),
    }
    assert (study.folder / "study.yaml").read_text().startswith("name: small\n")
    assert [f.name for f in study.folder.rglob(".*.*")] == []  # no temporary files


def test_it_says_first_what_it_can_see(finished):
    _, said = finished
    assert said[0].startswith("Blind: with 2 seeds")


def test_runs_are_paired_by_seed(finished):
    study, _ = finished
    for seed in (0, 1):
        runs = [run for run in study.runs if run.seed == seed]
        assert len({run.host_hash for run in runs}) == 1
        assert len({run.order_hash for run in runs}) == 1
    assert len({run.host_hash for run in study.runs}) == 2
    assert len({run.order_hash for run in study.runs}) == 2


def test_costs_are_those_of_the_variants(finished):
    study, _ = finished
    costs_of = {c.variant: c for c in study.costs}
    assert costs_of["none"].parameters == 14370
    assert costs_of["eca"].parameters == costs_of["eca-frozen"].parameters == 14370 + 3 + 1
    assert costs_of["eca-matched"].parameters == 14370 + 2 * 24 + 1
    assert all(run.parameters == costs_of[run.variant].parameters for run in study.runs)
    low, high = costs_of["eca"].latency_ratio_interval
    assert low <= costs_of["eca"].latency_ratio <= high


def test_a_run_taken_away_is_made_again_with_the_same_bits(finished, tmp_path):
    study, _ = finished
    copy = tmp_path / "copy"
    for path in study.folder.rglob("*.*"):
        if path.is_file() and path.name != "seed-0001.json":
            target = copy / path.relative_to(study.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    kept = {p: p.stat().st_mtime_ns for p in copy.glob("runs/*/*.json")}
    assert len(kept) == 4
    again = run_study(SMALL, copy, resume=True, workers=1, progress=False)
    assert accuracies(again) == accuracies(study)
    assert again.comparisons == study.comparisons
    assert all(p.stat().st_mtime_ns == before for p, before in kept.items())


def test_a_finished_study_is_resumed_without_training(finished, monkeypatch):
    study, _ = finished
    monkeypatch.setattr(trial, "run_trial", None)
    again = run_study(SMALL, study.folder, resume=True, workers=1, progress=False)
    assert accuracies(again) == accuracies(study)


def refuses(words, config=SMALL, out=None, **options):
    with pytest.raises(FovealError, match=words):
        run_study(config, out, workers=1, progress=False, **options)


def test_a_used_folder_needs_resume_and_the_same_configuration(finished, tmp_path):
    study, _ = finished
    before = {p: p.read_bytes() for p in study.folder.rglob("*") if p.is_file()}
    other = replace(SMALL, training=replace(SMALL.training, epochs=3))
    refuses("8 of 8 runs; go on with --resume", out=study.folder)
    refuses("training.epochs was 1 and is 3", other, study.folder)
    refuses("training.epochs was 1 and is 3", other, study.folder, resume=True)
    assert {p: p.read_bytes() for p in study.folder.rglob("*") if p.is_file()} == before
    (tmp_path / "notes.txt").write_text("mine")
    refuses("is not empty and holds no study", out=tmp_path)


def test_resume_of_an_absent_folder_begins_anew(tmp_path, monkeypatch):
    begun = []

    def stop(config, variant, seed, on_epoch):
        begun.append((variant.name, seed))
        raise RuntimeError("enough")

    monkeypatch.setattr(trial, "run_trial", stop)
    refuses("none with seed 0 failed: RuntimeError: enough", out=tmp_path / "new", resume=True)
    assert begun == [("none", 0)]


def test_a_run_with_another_host_or_order_is_refused(finished, tmp_path, monkeypatch):
    real = trial.run_trial
    for what, words in (
        ("host_hash", "the host's initial weights"),
        ("order_hash", "the order of the training pictures"),
    ):

        def other(config, variant, seed, on_epoch, what=what):
            run = real(config, variant, seed, on_epoch)
            return replace(run, **{what: "0" * 16}) if variant.name == "eca" else run

        monkeypatch.setattr(trial, "run_trial", other)
        refuses(f"eca with seed 0 is not paired.*{words}", out=tmp_path / what)


def test_a_full_disk_keeps_what_is_finished(tmp_path, monkeypatch):
    real, saved = workers.save_run, []

    def full(folder, run):
        if len(saved) == 3:
            raise FovealError("could not write: No space left on device")
        saved.append(run)
        return real(folder, run)

    monkeypatch.setattr(workers, "save_run", full)
    refuses("No space left on device", out=tmp_path / "full")
    assert len(load_study(tmp_path / "full").runs) == 3


def test_two_processes_do_not_share_a_folder(tmp_path):
    with alone(tmp_path / "s"):
        refuses("another process is working", out=tmp_path / "s")


def test_seeds_that_are_the_same_are_refused(tmp_path, monkeypatch):
    (tmp_path / "fixed_host.py").write_text(
        "import torch\n"
        "from foveal.surgery.hosts import load_host\n"
        "def build(num_classes):\n"
        "    torch.manual_seed(0)\n"
        "    return load_host('builtin:small_cnn', num_classes=num_classes)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    fixed = replace(SMALL, model=ModelConfig("py:fixed_host:build"))
    refuses("seeds 0 and 1 give the same initial weights", fixed, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    known = replace(fixed, model=ModelConfig("py:fixed_host:build", pretrained=True))
    assert prepare(known).pairing["0"]["host"] == prepare(known).pairing["1"]["host"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"variants": [VariantConfig("eca", where="stage_end")]}, "variant eca: .*stage_end"),
        ({"variants": [VariantConfig("eca", where="head")]}, "variant eca: "),
        ({"variants": [VariantConfig("eca", position="behind")]}, "position='behind'"),
        ({"variants": [VariantConfig("eca", options={"kernel_size": 4})]}, "must be odd"),
        ({"model": ModelConfig("timm:resnet_18x")}, "timm has no model"),
        ({"model": ModelConfig("py:small_hosts:untraceable")}, "small_hosts:untraceable"),
        ({"model": ModelConfig("py:small_hosts:wrong_classes")}, "class scores of shape"),
        ({"data": DataConfig("folder", root="/nowhere/at/all")}, "no image folder"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_trains(change, words, tmp_path, monkeypatch):
    (tmp_path / "small_hosts.py").write_text(
        "from torch import nn\n"
        "class Untraceable(nn.Conv2d):\n"
        "    def forward(self, x): raise RuntimeError('no way through')\n"
        "def untraceable(num_classes): return Untraceable(1, num_classes, 3)\n"
        "def wrong_classes():\n"
        "    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.LazyLinear(4))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(trial, "run_trial", None)
    refuses(words, replace(SMALL, **change), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_workers_must_be_at_least_one(tmp_path):
    with pytest.raises(FovealError, match="workers=0"):
        run_study(SMALL, tmp_path / "out", workers=0)


def test_differences_name_the_keys():
    changed = replace(SMALL, variants=[VariantConfig("eca", where="stages.1")])
    found = list(folder.differences(asdict(SMALL), asdict(changed)))
    assert found == ["variants 1.where was stages.2 and is stages.1"]


def test_what_is_written_is_plain_json(finished):
    study, _ = finished
    for path in study.folder.rglob("*.json"):
        json.loads(path.read_text())


def test_a_study_killed_while_it_wrote_its_plan_begins_anew(tmp_path, monkeypatch):
    out = tmp_path / "torn"
    out.mkdir()
    (out / "study.yaml").write_text("name: small\n")
    (out / ".plan.json.x7").write_text("{")
    monkeypatch.setattr(trial, "run_trial", None)
    refuses("none with seed 0 failed", out=out, resume=True)  # it got as far as training
    assert (out / "plan.json").is_file()
    assert not (out / ".plan.json.x7").exists()


def test_a_gpu_that_is_not_there_is_told_first(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    gpu = replace(SMALL, training=replace(SMALL.training, device="gpu"))
    refuses("torch sees none here", gpu, tmp_path / "out")
