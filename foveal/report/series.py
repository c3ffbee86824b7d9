"""What the plots show, as numbers."""

from collections.abc import Sequence
from math import isfinite
from statistics import fmean, stdev

from foveal.study.records import Study


def paired_differences(study: Study, variant: str, baseline: str) -> list[float]:
    """Variant minus baseline for each seed that both have finished with a number, by seed."""
    theirs = {run.seed: run.metric for run in study.runs_of(baseline)}
    pairs = [(run.metric, theirs.get(run.seed, float("nan"))) for run in study.runs_of(variant)]
    return [a - b for a, b in pairs if isfinite(a) and isfinite(b)]


def learning_curve(study: Study, variant: str) -> list[tuple[float, float, float]]:
    """(epoch, mean, standard deviation) of the validation metric over the finished seeds.

    The deviation is 0 where fewer than two seeds have reached the epoch with a number.
    """
    by_epoch: dict[float, list[float]] = {}
    for run in study.runs_of(variant):
        for entry in run.history:
            value = entry.get("val_metric", float("nan"))
            if isfinite(value):
                by_epoch.setdefault(entry["epoch"], []).append(value)
    return [
        (epoch, fmean(values), stdev(values) if len(values) > 1 else 0.0)
        for epoch, values in sorted(by_epoch.items())
    ]


def late_start(study: Study) -> float | None:
    """The first epoch of the second half of training; None where epochs are too few to halve."""
    epochs = sorted({entry["epoch"] for run in study.runs for entry in run.history})
    return epochs[len(epochs) // 2] if len(epochs) >= 6 else None


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points (cost, value) that no other point beats in both, cheapest first.

    >>> pareto_front([(3, 0.9), (1, 0.8), (2, 0.7), (3, 0.85)])
    [1, 0]
    """
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[i][1] > points[front[-1]][1]:
            front.append(i)
    return front
