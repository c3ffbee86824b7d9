"""Pooling over one axis, to the two numbers that many gates look at."""

import torch
from torch import Tensor


def max_and_mean(x: Tensor, dim: int) -> Tensor:
    """The maximum and the mean over one axis of a map, stacked as two channels, maximum first.

    Where several values share the maximum they share its gradient.

    Args:
        x: a map (B, C, H, W).
        dim: the axis to pool away: 1 (channels), 2 (rows) or 3 (columns).

    >>> max_and_mean(torch.rand(2, 8, 5, 7), dim=2).shape  # the rows are pooled away
    torch.Size([2, 2, 8, 7])
    """
    return torch.stack((x.amax(dim), x.mean(dim)), dim=1)
