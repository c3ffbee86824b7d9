"""Average precision of the objects of some size, as COCO counts it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

THRESHOLDS = np.arange(0.5, 1.0, 0.05)
"""The overlaps of mAP50-95."""


@dataclass(frozen=True)
class Seen:
    """What was found in one picture, and what is there; boxes are left, top, right, bottom."""

    boxes: np.ndarray
    """(N, 4), found."""
    confidence: np.ndarray
    classes: np.ndarray
    true_boxes: np.ndarray
    """(M, 4), there."""
    true_classes: np.ndarray


def sides(boxes: np.ndarray) -> np.ndarray:
    """The side of a square of each box's area."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return np.sqrt(np.clip(width * height, 0, None))


def mean_average_precision(
    pictures: Sequence[Seen], low: float = 0.0, high: float = np.inf
) -> float:
    """mAP50-95 over the objects whose side lies in [low, high); NaN where there is none.

    Objects of other sizes are neither to be found nor counted against who finds them; what was
    found and matches nothing counts only if its own size lies in the range.

    Args:
        pictures: of a whole test.
        low: smallest side, in pixels.
        high: the side above the largest.
    """
    classes = sorted({int(c) for seen in pictures for c in seen.true_classes})
    values = [_of_class(pictures, number, low, high) for number in classes]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")


def _of_class(pictures: Sequence[Seen], number: int, low: float, high: float) -> float | None:
    hits, counts, confidence = [], [], []
    wanted = 0
    for seen in pictures:
        mine, there = seen.classes == number, seen.true_classes == number
        order = np.argsort(-seen.confidence[mine], kind="stable")
        found, true = seen.boxes[mine][order], seen.true_boxes[there]
        side = sides(true)
        inside = (side >= low) & (side < high)
        wanted += int(inside.sum())
        own = sides(found)
        hit, counted = _match(_overlaps(found, true), inside, (own >= low) & (own < high))
        hits.append(hit)
        counts.append(counted)
        confidence.append(seen.confidence[mine][order])
    if not wanted:
        return None
    order = np.argsort(-np.concatenate(confidence), kind="stable")
    hit, counted = np.concatenate(hits, 1)[:, order], np.concatenate(counts, 1)[:, order]
    return float(np.mean([_area(h[c], wanted) for h, c in zip(hit, counted, strict=True)]))


def _match(
    overlaps: np.ndarray, inside: np.ndarray, own_inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each threshold and box found: whether it hits, and whether it counts at all."""
    shape = (len(THRESHOLDS), len(overlaps))
    hit, counted = np.zeros(shape, bool), np.ones(shape, bool)
    for t, threshold in enumerate(THRESHOLDS):
        free = np.ones(len(inside), bool)
        for i, row in enumerate(overlaps):
            near = free & (row >= threshold)
            if not near.any():
                counted[t, i] = own_inside[i]
                continue
            # an object that counts is taken before a nearer one that does not
            best = int(np.argmax(np.where(near, row + 2.0 * inside, -1.0)))
            free[best] = False
            hit[t, i] = counted[t, i] = bool(inside[best])
    return hit, counted


def _area(hit: np.ndarray, wanted: int) -> float:
    """Under the curve of precision, at 101 recalls."""
    found = np.cumsum(hit)
    precision = found / np.arange(1, len(hit) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(found / wanted, np.linspace(0, 1, 101), side="left")
    return float(np.append(precision, 0.0)[np.minimum(at, len(precision))].mean())


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    corner = np.maximum(a[:, None, :2], b[None, :, :2])
    end = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(end - corner, 0, None).prod(2)
    return both / np.maximum(sides(a)[:, None] ** 2 + sides(b)[None] ** 2 - both, 1e-9)
