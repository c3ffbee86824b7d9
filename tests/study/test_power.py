"""The two promises: false alarms in at most 5 % of studies, and effects found as often as said."""

import numpy as np
import pytest
from scipy import stats

from foveal.study.power import (
    attained_level,
    fewest_seeds,
    outlook,
    sign_flip_p,
    smallest_effect,
)
from foveal.study.records import Variant
from foveal.study.statistics import holm, judge

STUDIES = 4000


def noise(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Paired differences with standard deviation 1 and no effect."""
    if kind == "normal":
        return rng.standard_normal(shape)
    if kind == "heavy tails":
        return rng.standard_t(3, shape) / np.sqrt(3)
    grid = rng.integers(-2, 3, shape)  # accuracies of few pictures: many ties
    return grid / np.sqrt(2)


def decided(differences: np.ndarray, alpha: float = 0.05) -> np.ndarray:
    """Which variants of which studies get a verdict: (studies, variants, seeds) → (…, variants)."""
    p = np.stack([sign_flip_p(differences[:, k]) for k in range(differences.shape[1])], axis=1)
    return np.array([[c <= alpha + 1e-9 for c in holm(row)] for row in p.tolist()])


@pytest.mark.parametrize("kind", ["normal", "heavy tails", "ties"])
@pytest.mark.parametrize(("seeds", "variants"), [(10, 3), (8, 1)])
def test_without_an_effect_at_most_five_per_cent_of_studies_are_wrong(kind, seeds, variants):
    rng = np.random.default_rng(11)
    baseline = noise(kind, (STUDIES, 1, seeds), rng)
    # variants share the baseline's runs, so that their differences are correlated, as in a study
    differences = (noise(kind, (STUDIES, variants, seeds), rng) - baseline) / np.sqrt(2)
    wrong = int(decided(differences).any(axis=1).sum())
    assert wrong <= stats.binom.ppf(0.999, STUDIES, 0.05)
    # for one variant the test is exact: it uses the level that it attains
    if variants == 1 and kind == "normal":
        level = attained_level(seeds, 1)
        low, high = stats.binom.ppf([0.0001, 0.9999], STUDIES, level)
        assert low <= wrong <= high


def test_the_whole_judgement_is_rarely_wrong_about_the_variants_asked_about():
    # the same promise through the code that a study runs, controls included
    rng = np.random.default_rng(2)
    names = ("a", "b", "c")
    variants = [Variant("none", "none")]
    for name in names:
        variants.append(Variant(name, "attention"))
        variants.append(Variant(f"{name}-matched", "matched", control_of=name))
    studies, wrong = 200, 0
    for _ in range(studies):
        metrics = {
            v.name: dict(enumerate(rng.normal(0.8, 0.02, 10).round(3).tolist())) for v in variants
        }
        found = judge(metrics, variants)
        wrong += any(c.verdict != "not distinguishable" for c in found if c.variant in names)
    assert wrong <= stats.binom.ppf(0.999, studies, 0.05)


@pytest.mark.parametrize(("seeds", "variants"), [(6, 1), (7, 3), (8, 1), (10, 3), (12, 5), (14, 3)])
def test_a_planted_effect_of_the_stated_size_is_found_as_often_as_stated(seeds, variants):
    rng = np.random.default_rng(3)
    deviation = 0.017
    effect = smallest_effect(seeds, deviation, variants, power=0.8)
    differences = deviation * rng.standard_normal((STUDIES, variants, seeds))
    differences[:, 0] += effect
    found = int(decided(differences)[:, 0].sum())
    # others have no effect, so Holm's first step decides: not more power than stated either
    low, high = stats.binom.ppf([0.001, 0.999], STUDIES, [0.78, 0.84])
    assert low <= found <= high


def test_an_effect_in_heavy_tails_is_found_no_less_often():
    rng = np.random.default_rng(4)
    effect = smallest_effect(10, 1.0, 3)
    differences = noise("heavy tails", (STUDIES, 3, 10), rng)
    differences[:, 0] += effect
    found = int(decided(differences)[:, 0].sum())
    assert found >= stats.binom.ppf(0.001, STUDIES, 0.8)


@pytest.mark.parametrize("power", [0.5, 0.95])
def test_other_powers(power):
    rng = np.random.default_rng(5)
    effect = smallest_effect(10, 1.0, 3, power=power)
    differences = rng.standard_normal((STUDIES, 3, 10))
    differences[:, 0] += effect
    found = int(decided(differences)[:, 0].sum())
    low, high = stats.binom.ppf([0.001, 0.999], STUDIES, [power - 0.02, power + 0.04])
    assert low <= found <= high


def test_a_smaller_effect_is_found_less_often_than_stated():
    # otherwise the tests above would pass for any large number
    rng = np.random.default_rng(6)
    effect = 0.6 * smallest_effect(10, 1.0, 3)
    differences = rng.standard_normal((STUDIES, 3, 10))
    differences[:, 0] += effect
    assert decided(differences)[:, 0].mean() < 0.6


def test_a_blind_design_says_so():
    told = outlook(5, 1)
    assert told.blind
    assert told.smallest_p == 0.0625
    assert "At least 6 seeds are needed" in told.text
    assert smallest_effect(5, 0.01, 1) == float("inf")


@pytest.mark.parametrize("comparisons", [1, 2, 3, 8])
def test_fewest_seeds_are_the_fewest_that_can_be_significant(comparisons):
    seeds = fewest_seeds(comparisons)
    assert comparisons * 2 / 2**seeds <= 0.05 < comparisons * 2 / 2 ** (seeds - 1)
    clear = np.full((1, 1, seeds), 0.1)
    others = np.zeros((1, comparisons - 1, seeds))
    assert decided(np.concatenate([clear, others], axis=1))[0, 0]


def test_the_outlook_speaks_of_an_effect_of_interest_out_of_sight():
    near = outlook(10, 3, deviation=0.01, wanted=0.02)
    far = outlook(10, 3, deviation=0.01, wanted=0.005)
    assert "more than the" not in near.text
    assert "more than the 0.5 points of interest" in far.text
    assert near.smallest_effect == pytest.approx(0.01 * (near.effect_in_deviations or 0))
