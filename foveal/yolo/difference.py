"""How far an exported model's outputs are from the eager model's, in parts of their own range."""

import torch
from torch import Tensor

_FLOOR = 1e-3
"""A channel whose values are all smaller, such as the score of a class that is never found, is
measured by this: below it a rounding of the logits is a large part of the score."""


def largest_difference(eager: list[Tensor], exported: list[Tensor], ranked: bool) -> float:
    """The largest difference of any output, each channel in parts of its largest value.

    A score of 0.001 that is off by half counts as much as a box that is off by half the picture.
    The exported outputs are compared with the eager tensors of the same shape, in order; one
    without a counterpart is infinitely far away.

    Args:
        ranked: whether the outputs are lists of detections (B, K, values), of which near ones may
            change places; each is then compared with the nearest one.

    >>> a = torch.tensor([[[100.0, 50.0], [0.5, 0.25]]])
    >>> round(largest_difference([a], [a + torch.tensor([[[1.0, 0.0], [0.0, 0.1]]])], False), 6)
    0.2
    """
    left = list(eager)
    worst = 0.0
    for one in exported:
        place = next((i for i, other in enumerate(left) if other.shape == one.shape), None)
        if place is None:
            return float("inf")
        a, b = left.pop(place).double(), one.double()
        if not (a.isfinite().all() and b.isfinite().all()):
            return float("inf")
        worst = max(worst, _of_lists(a, b) if ranked and a.ndim == 3 else _of_maps(a, b))
    return worst


def _of_maps(a: Tensor, b: Tensor) -> float:
    """Of (B, C, …), channel by channel."""
    if a.ndim < 2:
        return float("inf") if a.shape != b.shape else float((a - b).abs().max())
    flat = (a.transpose(0, 1).flatten(1), b.transpose(0, 1).flatten(1))  # (C, all positions)
    scale = flat[0].abs().amax(1).clamp_min(_FLOOR)
    return float(((flat[0] - flat[1]).abs().amax(1) / scale).max())


def _of_lists(a: Tensor, b: Tensor) -> float:
    """Of (B, K, values), each row with the nearest row of the other list.

    One row in fifty may have none: which detections come in last hangs on a hair, and two that tie
    may change places at the end. A file that computes something else has hardly any.
    """
    scale = a.abs().amax((0, 1)).clamp_min(_FLOOR)
    allowed = a.shape[1] // 50
    worst = 0.0
    for rows, others in ((a / scale, b / scale), (b / scale, a / scale)):
        apart = torch.cdist(rows, others, p=float("inf")).amin(2)
        worst = max(worst, float(apart.sort(1, descending=True).values[:, allowed].max()))
    return worst
