import itertools

import numpy as np
import pytest
from scipy import stats

from foveal import FovealError
from foveal.study.power import sign_flip_p
from foveal.study.records import Variant
from foveal.study.statistics import holm, interval, judge, paired_p, verdict_of

RNG = np.random.default_rng(0)


def by_hand(differences) -> float:
    observed = abs(sum(differences))
    flips = itertools.product((1, -1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in flips]
    return sum(s >= observed - 1e-9 for s in sums) / len(sums)


@pytest.mark.parametrize("pairs", [2, 5, 8])
def test_paired_p_is_the_count_over_all_sign_flips(pairs):
    for _ in range(5):
        differences = RNG.normal(0.01, 0.02, pairs).tolist()
        assert paired_p(differences) == pytest.approx(by_hand(differences))
        assert sign_flip_p(np.array([differences]))[0] == pytest.approx(by_hand(differences))


def test_ties_of_accuracies_are_not_broken_by_rounding():
    # thirds and sixths of 599 pictures: many sums of flipped signs are equal, though not in floats
    right = RNG.integers(450, 500, (200, 2, 10))
    for ours, theirs in right:
        exact = by_hand([int(a) - int(b) for a, b in zip(ours, theirs, strict=True)])
        assert paired_p((ours / 599 - theirs / 599).tolist()) == pytest.approx(exact)


def test_five_seeds_cannot_fall_below_a_sixteenth():
    assert paired_p([0.9, 0.8, 0.9, 0.9, 0.8]) == 0.0625


def test_more_than_twenty_pairs_are_drawn_and_never_give_zero():
    assert 0 < paired_p(RNG.normal(0.1, 0.01, 30).tolist()) <= 2e-5
    assert paired_p(RNG.normal(0, 0.01, 30).tolist()) > 1e-3


def test_interval_covers_as_often_as_it_says_at_ten_pairs():
    rows = RNG.normal(0.3, 1, (600, 10))
    covered = sum(low <= 0.3 <= high for low, high in map(interval, rows.tolist()))
    # a true coverage of 0.95 gives fewer than this in one of ten thousand tries
    assert covered >= stats.binom.ppf(1e-4, 600, 0.93)
    assert covered <= stats.binom.ppf(1 - 1e-4, 600, 0.97)


def test_degenerate_differences_have_an_interval():
    assert interval([0.0] * 10) == (0.0, 0.0)
    low, high = interval([0.1 + 0.2, 0.3, 0.3])  # the same but for the last bit
    assert low == high == pytest.approx(0.3)
    low, high = interval([0.0] * 9 + [0.1])
    assert low < 0.01 < high


def test_holm_against_a_table():
    assert holm([0.01, 0.04, 0.03, 0.005]) == [0.03, 0.06, 0.06, 0.02]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_verdicts():
    assert verdict_of(-0.02, 0.05, 0.05) == "hurts"
    assert verdict_of(0.02, 0.0501, 0.05) == "not distinguishable"
    assert verdict_of(0.0, 0.0, 0.05) == "not distinguishable"


def variants(*names: str) -> list[Variant]:
    found = [Variant("none", "none")]
    for name in names:
        found.append(Variant(name, "attention", attention=name))
        found += [Variant(f"{name}-{r}", r, control_of=name) for r in ("frozen", "matched")]
    return found


def metrics(noise: float = 0.005, **gains: float) -> dict[str, dict[int, float]]:
    base = RNG.normal(0.8, 0.02, 10)
    return {
        name.replace("_", "-"): dict(enumerate(base + gain + RNG.normal(0, noise, 10)))
        for name, gain in {"none": 0.0, **gains}.items()
    }


def test_a_study_is_judged_against_the_baseline_and_its_controls():
    measured = metrics(
        se=0.05, se_frozen=0.0, se_matched=0.05, eca=0.0, eca_frozen=0, eca_matched=0
    )
    found = {(c.variant, c.baseline): c for c in judge(measured, variants("se", "eca"))}
    assert found["se", "none"].verdict == "helps"
    assert found["eca", "none"].verdict == "not distinguishable"
    assert found["se", "se-frozen"].verdict == "helps"
    assert found["se", "se-matched"].verdict == "not distinguishable"  # the parameters did it
    assert found["se-matched", "none"].verdict == "helps"
    se = found["se", "none"]
    assert se.interval[0] < se.difference < se.interval[1]
    assert se.p <= (se.p_corrected or 0)


def test_no_advantage_over_a_control_without_one_over_the_baseline():
    measured = metrics(se=0.0, se_frozen=-0.1, se_matched=-0.1)
    found = {(c.variant, c.baseline): c for c in judge(measured, variants("se"))}
    assert found["se", "none"].verdict == "not distinguishable"
    assert found["se", "se-matched"].p_corrected < 0.01
    assert found["se", "se-matched"].verdict == "not distinguishable"


def test_unpaired_studies_are_refused():
    measured = metrics(se=0.0, se_frozen=0, se_matched=0)
    del measured["se"][3]
    with pytest.raises(FovealError, match="same seeds"):
        judge(measured, variants("se"))
    with pytest.raises(FovealError, match="without the control 'none'"):
        judge(measured, variants("se")[1:])
