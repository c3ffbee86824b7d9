"""Maps summed up in squares: so many of them, or of such a side."""

import torch
from torch import Tensor

from foveal.ops.window import is_open, padded_size


def bin_weights(size: int, bins: int, like: Tensor) -> Tensor:
    """A matrix (bins, size) whose row i averages the i-th of so many equal stretches, which
    overlap where they cannot be equal; of the type and on the device of `like`.

    >>> bin_weights(3, 2, torch.zeros(1)).tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]
    """
    places = torch.arange(size, device=like.device)
    edges = torch.arange(bins, device=like.device)[:, None] * size
    within = (places * bins + bins > edges) & (places * bins < edges + size)
    within = within.to(torch.promote_types(like.dtype, torch.float32))
    return (within / within.sum(1, keepdim=True)).to(like.dtype)


def mean_of_bins(x: Tensor, rows: int, columns: int) -> Tensor:
    """A map (B, C, H, W) averaged to (B, C, rows, columns), as `F.adaptive_avg_pool2d` has it; two
    products, so that an exported program takes any size.

    >>> mean_of_bins(torch.ones(1, 2, 5, 9), 3, 3).shape
    torch.Size([1, 2, 3, 3])
    """
    height, width = x.shape[2:]
    return bin_weights(height, rows, x) @ (x @ bin_weights(width, columns, x).T)


def real_squares(x: Tensor, side: int) -> Tensor | None:
    """Which squares of a map, that `pad_to_multiple` has filled up, hold any of it: (rows,
    columns). None where all do.

    Only an export adds some that do not: it needs two along each axis whose size is left open,
    for torch takes a single one for a constant.
    """
    if not any(map(is_open, x.shape[2:])):
        return None
    rows, columns = (
        torch.arange(padded_size(size, side) // side, device=x.device) < (size + side - 1) // side
        for size in x.shape[2:]
    )
    return rows[:, None] & columns


def bias_of_real(real: Tensor | None, like: Tensor) -> Tensor | None:
    """A bias for scores that lets only keys of real squares count: (1, 1, 1, M)."""
    if real is None:
        return None
    return torch.where(real.reshape(1, 1, 1, -1), 0.0, -torch.inf).to(like.dtype)
