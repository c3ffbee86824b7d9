"""How mixes weighed their branches: over training and per class, with the spread of the seeds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from foveal.report.numbers import Scale
from foveal.report.table import Column, Row, in_order
from foveal.study.records import BranchWeights, Study

MOST_CLASSES = 20
"""How many classes a page shows of a part."""

Spread = tuple[float, float]
"""Mean and standard deviation over the seeds; the deviation is 0 for one seed."""


@dataclass(frozen=True)
class Weighed:
    """A part of a mix that weighs branches, over all finished seeds of a variant."""

    variant: str
    attention: str
    place: str
    node: str
    branches: tuple[str, ...]
    seeds: int
    epochs: list[list[Spread]]
    """For each epoch a spread for each branch."""
    classes: list[tuple[str, list[Spread]]]
    """For each class with images its name and the spreads, after the last epoch; empty if the
    weights are the same for every image."""

    @property
    def whole(self) -> bool:
        """Whether the part is all of the mix."""
        return self.node == self.attention


def weighed(study: Study) -> list[Weighed]:
    """Every part of every mix, in the order of the variants."""
    found = []
    for variant in in_order(study):
        parts: dict[tuple[str, str], list[BranchWeights]] = {}
        for run in study.runs_of(variant.name):
            for weights in run.weights:
                parts.setdefault((weights.place, weights.node), []).append(weights)
        for (place, node), seeds in parts.items():
            found.append(
                Weighed(
                    variant=variant.name,
                    attention=variant.attention or "",
                    place=place,
                    node=node,
                    branches=tuple(seeds[0].branches),
                    seeds=len(seeds),
                    epochs=[*map(_spreads, zip(*(s.epochs for s in seeds), strict=True))],
                    classes=list(_classes(study, seeds)),
                )
            )
    return found


def unweighed(study: Study) -> list[str]:
    """The mixes with finished runs that weigh no branches."""
    return [
        variant.name
        for variant in in_order(study)
        if variant.role == "attention"
        and any(sign in (variant.attention or "") for sign in ">|")
        and study.runs_of(variant.name)
        and not any(run.weights for run in study.runs_of(variant.name))
    ]


def telling_classes(part: Weighed) -> list[tuple[str, list[Spread]]]:
    """The classes, in their order; of many those that are furthest from the mean of all images."""
    overall = [mean for mean, _ in part.epochs[-1]]

    def distance(line: tuple[str, list[Spread]]) -> float:
        return max(abs(mean - all_) for (mean, _), all_ in zip(line[1], overall, strict=True))

    kept = sorted(part.classes, key=distance, reverse=True)[:MOST_CLASSES]
    return [line for line in part.classes if line in kept]


def branch_rows(parts: Sequence[Weighed]) -> list[Row]:
    """One row for each branch of each part."""
    return [
        {
            "variant": part.variant,
            "place": part.place,
            "part": part.node,
            "branch": branch,
            "first": part.epochs[0][i],
            "last": part.epochs[-1][i],
            "least": min(((s[i], name) for name, s in part.classes), default=None),
            "most": max(((s[i], name) for name, s in part.classes), default=None),
        }
        for part in parts
        for i, branch in enumerate(part.branches)
    ]


def branch_columns() -> list[Column]:
    """The weight of every branch, first and last, and in the classes that it counts least and most
    in."""

    def of_class(key: str) -> Any:
        def cell(row: Row, scale: Scale) -> str:
            return f"{written(row[key][0])} ({row[key][1]})" if row[key] else "–"

        return cell

    return [
        Column("variant", lambda row, _: row["variant"], numeric=False),
        Column("place", lambda row, _: row["place"], numeric=False),
        Column("part", lambda row, _: row["part"], numeric=False),
        Column("branch", lambda row, _: row["branch"], numeric=False),
        Column("weight, first epoch", lambda row, _: written(row["first"])),
        Column("weight, last epoch", lambda row, _: written(row["last"])),
        Column("least in class", of_class("least")),
        Column("most in class", of_class("most")),
    ]


def branch_data(parts: Sequence[Weighed]) -> Iterator[Row]:
    """Every number by itself: a row has an epoch, or `class` for the last epoch's images of one."""
    for part in parts:
        lines: list[tuple[int, str, list[Spread]]] = [
            (epoch, "", spreads) for epoch, spreads in enumerate(part.epochs, 1)
        ]
        lines += [(len(part.epochs), name, spreads) for name, spreads in part.classes]
        for epoch, name, spreads in lines:
            for branch, (mean, deviation) in zip(part.branches, spreads, strict=True):
                yield {
                    "variant": part.variant,
                    "place": part.place,
                    "part": part.node,
                    "branch": branch,
                    "epoch": epoch,
                    "class": name,
                    "seeds": part.seeds,
                    "mean": mean,
                    "sd": deviation,
                }


def written(spread: Spread) -> str:
    """
    >>> written((0.512, 0.031))
    '0.51 ± 0.03'
    """
    return f"{spread[0]:.2f} ± {spread[1]:.2f}"


def _classes(study: Study, seeds: Sequence[BranchWeights]) -> Iterator[tuple[str, list[Spread]]]:
    known = study.plan.get("classes") or ()
    for i, rows in enumerate(zip(*(s.classes or () for s in seeds), strict=True)):
        there = [row for row in rows if row is not None]
        if there:
            yield (known[i] if i < len(known) else str(i)), _spreads(there)


def _spreads(rows: Sequence[Sequence[float]]) -> list[Spread]:
    columns = list(zip(*rows, strict=True))
    return [(fmean(c), stdev(c) if len(c) > 1 else 0.0) for c in columns]
