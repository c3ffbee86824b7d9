"""Single mechanisms and mixes in one study."""

from dataclasses import replace

import pytest
from small_study import SMALL

from foveal import FovealError
from foveal.study import costs
from foveal.study.config import VariantConfig
from foveal.study.run import run_study
from foveal.study.variants import attention_variant, build, control, mechanisms, study_data

MIXED = replace(
    SMALL,
    name="mixed",
    variants=[
        VariantConfig("eca", where="stages.2"),
        VariantConfig("eca > coord", where="stages.2"),
        VariantConfig("sum(se | sa_spatial, weights=dynamic)", where="stages.2"),
    ],
    without_controls=["matched"],
)
CHAIN, SUM = "eca-then-coord", "sum-se+sa_spatial-weights-dynamic"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("studies") / "mixed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs, "SECONDS", 0.05)
        return run_study(MIXED, out, workers=1, progress=False)


def test_mixes_are_run_and_compared_like_any_other(finished):
    asked = ["eca", CHAIN, SUM]
    names = [name for one in asked for name in (one, f"{one}-frozen")]
    assert [v.name for v in finished.variants] == ["none", *names]
    assert finished.complete
    compared = {(c.variant, c.baseline) for c in finished.comparisons}
    assert {(one, against) for one in asked for against in ("none", f"{one}-frozen")} < compared
    folders = {path.name for path in (finished.folder / "runs").iterdir()}
    assert folders == {"none", *names}
    assert finished.variants[5].attention == "sum(se | sa_spatial, weights=dynamic)"


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
    mix = attention_variant(MIXED.variants[2])
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
