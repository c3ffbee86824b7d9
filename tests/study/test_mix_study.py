"""Single mechanisms and mixes in one study."""

import json
from dataclasses import replace

import pytest
import torch
from small_study import SMALL

from foveal import FovealError
from foveal.study import costs, trial
from foveal.study.config import AnnealConfig, StudyConfig, VariantConfig
from foveal.study.records import Variant, load_study, write_json
from foveal.study.run import run_study
from foveal.study.trial import run_trial
from foveal.study.variants import attention_variant, build, control, mechanisms, study_data

MIXED = replace(
    SMALL,
    name="mixed",
    variants=[
        VariantConfig("eca > coord", where="stages.2"),
        VariantConfig(
            "sum(se | sa_spatial, weights=dynamic)", where="stages.2", anneal=AnnealConfig(4)
        ),
        VariantConfig(
            "mean(se | sa_spatial, weights=feedback(rate=100))", "fed", "stages.2", init="paper"
        ),
    ],
    data=replace(SMALL.data, feedback_share=0.25),
    training=replace(SMALL.training, epochs=3),
    without_controls=["matched"],
)
CHAIN, SUM, FED = "eca-then-coord", "sum-se+sa_spatial-weights-dynamic", "fed"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("studies") / "mixed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs, "SECONDS", 0.05)
        return run_study(MIXED, out, workers=1, progress=False)


def test_mixes_are_run_and_compared_like_any_other(finished):
    asked = [CHAIN, SUM, FED]
    names = [name for one in asked for name in (one, f"{one}-frozen")]
    assert [v.name for v in finished.variants] == ["none", *names]
    assert finished.complete
    compared = {(c.variant, c.baseline) for c in finished.comparisons}
    assert {(one, against) for one in asked for against in ("none", f"{one}-frozen")} < compared
    folders = {path.name for path in (finished.folder / "runs").iterdir()}
    assert folders == {"none", *names}
    assert finished.variants[3].attention == "sum(se | sa_spatial, weights=dynamic)"


def test_the_weights_of_branches_are_kept_with_the_runs(finished):
    for name, expected in ((CHAIN, []), (f"{SUM}-frozen", []), ("none", [])):
        assert [run.weights for run in finished.runs_of(name)] == [expected] * 2
    for run in finished.runs_of(SUM):
        (weights,) = run.weights
        assert (weights.place, weights.node) == ("stages.2", finished.variants[3].attention)
        assert weights.branches == ["se", "sa_spatial"]
        assert len(weights.epochs) == 3
        assert weights.classes is not None
        assert len(weights.classes) == 10
        for row in [*weights.epochs, *filter(None, weights.classes)]:
            assert sum(row) == pytest.approx(1, abs=2e-4)
    for run in finished.runs_of(FED):
        (weights,) = run.weights
        assert weights.epochs[0] == [0.5, 0.5]
        assert sum(weights.epochs[1]) == pytest.approx(1, abs=2e-4)
        assert weights.classes is None
    assert finished.plan["classes"] == list("0123456789")


def test_runs_from_before_weights_were_kept_are_read(finished, tmp_path):
    old = tmp_path / "old"
    for path in ("plan.json", "runs/none/seed-0000.json"):
        data = json.loads((finished.folder / path).read_text())
        data.pop("weights", None)
        write_json(old / path, data)
    assert [run.weights for run in load_study(old).runs] == [[]]


def test_a_study_with_mixes_is_resumed(finished, tmp_path):
    copy = tmp_path / "copy"
    for path in finished.folder.rglob("*.*"):
        if path.is_file() and path.name != "seed-0001.json":
            target = copy / path.relative_to(finished.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    again = run_study(MIXED, copy, resume=True, workers=1, progress=False)
    assert [replace(r, seconds=0) for r in again.runs] == [
        replace(r, seconds=0) for r in finished.runs
    ]


def test_controls_of_a_mix():
    data = study_data(MIXED.data)
    mix = attention_variant(MIXED.variants[1])
    own, frozen, matched = (
        build(MIXED, v, 0, data) for v in (mix, control(mix, "frozen"), control(mix, "matched"))
    )
    (mechanism,) = mechanisms(frozen.model).values()
    assert not any(p.requires_grad for p in mechanism.parameters())
    assert all(p.abs().sum() > 0 for p in mechanism.parameters())  # dynamic is born 0
    assert frozen.parameters == own.parameters
    assert abs(matched.parameters - own.parameters) <= 24


def test_a_mix_that_speaks_video_is_refused_at_a_map(tmp_path):
    video = replace(MIXED, variants=[VariantConfig("eca > temporal", where="stages.2")])
    with pytest.raises(FovealError, match=r"variant eca-then-temporal: .*video"):
        run_study(video, tmp_path / "out", workers=1, progress=False)


def state_after(config: StudyConfig, variant: Variant, monkeypatch) -> dict[str, torch.Tensor]:
    """What a run leaves in its model."""
    made = []
    monkeypatch.setattr(trial, "build", lambda *given: made.append(build(*given)) or made[0])
    run_trial(config, variant, seed=0)
    return made[0].model.state_dict()


def buffer(state: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    (found,) = (value for key, value in state.items() if key.endswith(f".{name}"))
    return found


def test_the_temperature_ends_where_it_should(monkeypatch):
    mix = attention_variant(MIXED.variants[1])
    begun = build(MIXED, mix, 0, study_data(MIXED.data)).model.state_dict()
    assert buffer(begun, "temperature") == 1
    warm = replace(mix, anneal={"start": 4.0, "end": 3.0})
    for variant in (warm, control(warm, "frozen")):
        assert buffer(state_after(MIXED, variant, monkeypatch), "temperature") == 3


def test_feedback_moves_weights_between_epochs_but_not_those_of_frozen_gates(monkeypatch):
    fed = attention_variant(MIXED.variants[2])
    state = state_after(MIXED, fed, monkeypatch)
    assert buffer(state, "steps") == 2
    (metric, *before), (_, *after) = buffer(state, "history")[:2].tolist()
    assert 0 < metric < 1
    assert before == [0.5, 0.5]
    assert after != before
    frozen = state_after(MIXED, control(fed, "frozen"), monkeypatch)
    assert buffer(frozen, "steps") == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": SMALL.data}, "variant fed: .*feedback_share under data"),
        (
            {"variants": [VariantConfig("eca > se", where="stages.2", anneal=AnnealConfig(4))]},
            "variant eca-then-se: anneal changes .* eca > se has none",
        ),
        (
            {"variants": [VariantConfig("eca", where="stages.2", anneal=AnnealConfig(4))]},
            "variant eca: anneal changes",
        ),
    ],
)
def test_what_weightings_cannot_do_is_refused_before_anything_trains(change, words, tmp_path):
    with pytest.raises(FovealError, match=words):
        run_study(replace(MIXED, **change), tmp_path / "out", workers=1, progress=False)
    assert not (tmp_path / "out").exists()
