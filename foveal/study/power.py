"""What a design can see, worked out before anything is trained."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from foveal.core.errors import require

SIMULATED_UP_TO = 12


def attained_level(seeds: int, comparisons: int, alpha: float = 0.05) -> float:
    """The level at which the exact paired test works, after Holm's first step.

    The test's p is a multiple of 2/2^seeds, so it may stay below the level that it is given; at
    0 no result, however clear, can be significant.

    >>> attained_level(5, 1)
    0.0
    >>> attained_level(10, 3)
    0.015625
    """
    steps = 2 ** (seeds - 1)
    return math.floor(alpha / comparisons * steps + 1e-9) / steps


def fewest_seeds(comparisons: int, alpha: float = 0.05) -> int:
    """The fewest seeds at which anything could be significant.

    >>> [fewest_seeds(k) for k in (1, 3, 10)]
    [6, 7, 9]
    """
    return next(n for n in range(2, 64) if attained_level(n, comparisons, alpha) > 0)


def smallest_effect(
    seeds: int, deviation: float, comparisons: int, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The smallest true difference that the design finds with the stated power.

    Args:
        seeds: pairs.
        deviation: standard deviation of the paired differences.
        comparisons: how many Holm's correction counts; the worst case, one real effect, is taken.
        alpha: level after correction.
        power: chance of finding it.

    Returns:
        The difference, infinite when the exact test cannot reach the level.
    """
    if attained_level(seeds, comparisons, alpha) == 0:
        return math.inf
    return deviation * _standard_effect(seeds, comparisons, alpha, power)


@lru_cache(maxsize=256)
def _standard_effect(seeds: int, comparisons: int, alpha: float, power: float) -> float:
    """The effect in standard deviations of the paired differences.

    The noncentral t at the level that the exact test attains is right for ten seeds and more; near
    the test's floor it promises up to 0.1 too much power, so a small design is simulated.
    """
    level = attained_level(seeds, comparisons, alpha)
    by_t = _root(lambda effect: _t_power(effect, seeds, level), power, 0.0)
    if seeds > SIMULATED_UP_TO:
        return by_t
    noise = np.random.default_rng(7).standard_normal((8192, seeds))
    return _root(lambda effect: _exact_power(noise + effect, level), power, 0.9 * by_t)


def _t_power(effect: float, seeds: int, level: float) -> float:
    stats = require("scipy.stats", "study")
    edge = stats.t.ppf(1 - level / 2, seeds - 1)
    shift = effect * math.sqrt(seeds)
    found = stats.nct.sf(edge, seeds - 1, shift)
    return 1.0 if math.isnan(found) else float(found)  # far out in the tail SciPy gives up


def _exact_power(differences: np.ndarray, level: float) -> float:
    """Share of rows of which the exact paired test is significant at the level."""
    return float((sign_flip_p(differences) <= level + 1e-12).mean())


def sign_flip_p(differences: np.ndarray) -> np.ndarray:
    """The exact paired permutation test of every row at once: (studies, seeds) → (studies,).

    The sums over half of all sign patterns suffice; the other half are their negatives.

    >>> sign_flip_p(np.array([[0.01, 0.02, 0.03, 0.02, 0.01]])).tolist()
    [0.0625]
    """
    seeds = differences.shape[1]
    patterns = np.arange(2 ** (seeds - 1))[:, None]
    signs = 1.0 - 2.0 * ((patterns >> np.arange(seeds)) & 1)  # the last sign stays +
    parts = []
    for rows in np.array_split(differences, max(1, len(differences) // 512)):
        sums = np.abs(rows @ signs.T)
        parts.append((sums >= np.abs(rows.sum(1, keepdims=True)) - 1e-9).mean(1))
    return np.concatenate(parts)


def _root(power_of, power: float, low: float) -> float:
    """The effect at which a rising power function reaches `power`."""
    high = max(low, 0.1)
    while power_of(high) < power:
        high *= 1.3
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if power_of(middle) < power else (low, middle)
        if high - low < 1e-4 * high:
            break
    return high


@dataclass(frozen=True)
class Outlook:
    """What a study will be able to see, said before it starts."""

    seeds: int
    comparisons: int
    alpha: float
    power: float
    smallest_p: float
    """The smallest p after correction that the exact test can give."""
    blind: bool
    """No result could be significant."""
    effect_in_deviations: float | None
    assumed_deviation: float | None
    smallest_effect: float | None
    """With the assumed deviation of the paired differences; None where none was assumed."""
    text: str


def outlook(
    seeds: int,
    comparisons: int,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    deviation: float | None = None,
    wanted: float | None = None,
) -> Outlook:
    """Say what a design can see.

    Args:
        seeds: pairs per comparison.
        comparisons: attention variants.
        alpha: level after Holm's correction.
        power: chance of finding an effect.
        deviation: assumed standard deviation of the paired differences.
        wanted: the effect of interest.

    >>> print(outlook(5, 1).text.split(":")[0])
    Blind
    """
    floor = min(1.0, comparisons * 2 / 2**seeds)
    blind = attained_level(seeds, comparisons, alpha) == 0
    design = f"{seeds} seeds, {comparisons} attention variant{'s' if comparisons > 1 else ''}"
    if blind:
        text = (
            f"Blind: with {design} the smallest possible p is {floor:.3g} after correction, so "
            f"nothing can be distinguished at {alpha:g}, however large. "
            f"At least {fewest_seeds(comparisons, alpha)} seeds are needed."
        )
        return Outlook(seeds, comparisons, alpha, power, floor, True, None, deviation, None, text)
    standard = smallest_effect(seeds, 1.0, comparisons, alpha, power)
    effect = None if deviation is None else standard * deviation
    seen = (
        f"{100 * effect:.1f} points (if paired differences vary by {100 * deviation:.1f} points)"
        if effect is not None and deviation is not None
        else f"{standard:.2f} standard deviations of the paired differences"
    )
    text = (
        f"{design}: a true difference of {seen} or more will be found with probability "
        f"{power:g}; smaller ones may go unseen. "
        f"Smallest possible p after correction: {floor:.2g}."
    )
    if effect is not None and wanted is not None and effect > wanted:
        text += (
            f" That is more than the {100 * wanted:.1f} points of interest: "
            "take more seeds or fewer variants."
        )
    return Outlook(
        seeds, comparisons, alpha, power, floor, False, standard, deviation, effect, text
    )
