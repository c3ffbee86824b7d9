"""From accuracies to verdicts: paired differences, their interval, exact tests, Holm's correction.

Three families of comparisons are made, each corrected within itself:
the attention variants against the baseline (what the study asks), the controls against the
baseline (what the controls do), and each variant against its own controls. A variant's advantage
over a control is only spoken of where the variant itself differs from the baseline, so the third
family cannot add false alarms to the first.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from foveal.core.errors import FovealError, require
from foveal.study.power import smallest_effect
from foveal.study.records import Comparison, Variant, VerdictWord

EXACT_UP_TO = 20
"""Pairs up to which all sign flips are counted; beyond, 99 999 are drawn."""

SAME = 1e-9
"""Differences of accuracies nearer than this are equal; rounding must not break a tie."""


def paired_p(differences: Sequence[float]) -> float:
    """Two-sided p of the paired permutation test: the sign of every difference could be either.

    Exact up to 20 pairs, so that it needs no belief about the shape of the differences.

    >>> paired_p([0.01, 0.02, 0.03, 0.02, 0.01])
    0.0625
    >>> paired_p([0.0, 0.0, 0.0])
    1.0
    """
    values = np.asarray(differences, float)
    exact = len(values) <= EXACT_UP_TO
    result = require("scipy.stats", "study").permutation_test(
        (values, np.zeros_like(values)),
        lambda ours, theirs, axis: np.sum(ours - theirs, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf if exact else 99_999,
        batch=10_000,
        rng=np.random.default_rng(0),
    )
    # SciPy compares sums to the last bits, where ties of fractions such as 1/3 break by chance
    extreme = np.abs(result.null_distribution) >= abs(values.sum()) - SAME
    if exact:
        return float(extreme.mean())
    return float((extreme.sum() + 1) / (extreme.size + 1))


def interval(differences: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Bootstrap interval of the mean difference, by percentiles, widened for few pairs.

    The plain percentile interval covers about 90 % where 95 % is asked of ten pairs. Its level is
    therefore raised to what makes it right for normal differences (Hesterberg 2015, the expanded
    percentile interval).

    >>> interval([0.02, 0.02, 0.02])
    (0.02, 0.02)
    """
    values = np.asarray(differences, float)
    count = len(values)
    if count < 2 or np.ptp(values) < SAME:
        return float(values[0]), float(values[0])
    stats = require("scipy.stats", "study")
    wider = math.sqrt(count / (count - 1)) * stats.t.ppf((1 + confidence) / 2, count - 1)
    result = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=1 - 2 * stats.norm.sf(wider),
        n_resamples=9_999,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: the chance of any false alarm among all stays at the level.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def verdict_of(difference: float, p_corrected: float, alpha: float) -> VerdictWord:
    """What may be said of a difference.

    >>> verdict_of(0.02, 0.01, alpha=0.05)
    'helps'
    """
    if p_corrected > alpha + SAME or abs(difference) < SAME:
        return "not distinguishable"
    return "helps" if difference > 0 else "hurts"


def judge(
    metrics: Mapping[str, Mapping[int, float]],
    variants: Sequence[Variant],
    *,
    alpha: float = 0.05,
    power: float = 0.8,
) -> list[Comparison]:
    """Every comparison of a finished study.

    Args:
        metrics: for each variant, the metric of each seed.
        variants: the study's variants, with one of role `none`.
        alpha: chance of any false alarm within a family of comparisons.
        power: for `smallest_effect`.

    Returns:
        Attention variants against the baseline, then controls against it, then each attention
        variant against its own controls.

    Raises:
        FovealError: if there is no baseline or two variants were not run on the same seeds.
    """
    baseline = next((v.name for v in variants if v.role == "none"), None)
    if baseline is None:
        raise FovealError("a study without the control 'none' has nothing to compare with")
    for name in (v.name for v in variants):
        if set(metrics[name]) != set(metrics[baseline]):
            raise FovealError(f"{name} and {baseline} were not run on the same seeds")
    asked = [(v.name, baseline) for v in variants if v.role == "attention"]
    controls = [v for v in variants if v.role in ("frozen", "matched", "larger")]
    beside = [(c.name, baseline) for c in controls]
    first = _family(metrics, asked, alpha, power)
    distinct = {c.variant for c in first if c.verdict != "not distinguishable"}
    third: list[Comparison] = []
    for role in ("matched", "frozen", "larger"):
        pairs = [
            (name, c.name)
            for c in controls
            if c.role == role
            # a larger host stands beside every variant
            for name in ([c.control_of] if c.control_of else [a for a, _ in asked])
        ]
        third += _family(metrics, pairs, alpha, power, only=distinct)
    return first + _family(metrics, beside, alpha, power) + third


def _family(
    metrics: Mapping[str, Mapping[int, float]],
    pairs: Sequence[tuple[str, str]],
    alpha: float,
    power: float,
    only: set[str] | None = None,
) -> list[Comparison]:
    seeds = sorted(next(iter(metrics.values())))
    ours = [np.array([metrics[a][s] for s in seeds]) for a, _ in pairs]
    differences = [
        x - [metrics[b][s] for s in seeds] for x, (_, b) in zip(ours, pairs, strict=True)
    ]
    p_values = [paired_p(d.tolist()) for d in differences]
    found = []
    for (variant, other), x, d, p, corrected in zip(
        pairs, ours, differences, p_values, holm(p_values), strict=True
    ):
        mean = float(d.mean())
        silent = only is not None and variant not in only
        found.append(
            Comparison(
                variant=variant,
                baseline=other,
                seeds=len(seeds),
                mean=float(x.mean()),
                difference=mean,
                interval=interval(d.tolist()),
                p=p,
                p_corrected=corrected,
                verdict="not distinguishable" if silent else verdict_of(mean, corrected, alpha),
                smallest_effect=smallest_effect(
                    len(seeds), float(d.std(ddof=1)), len(pairs), alpha, power
                ),
            )
        )
    return found
