"""Maps cut into squares, the last of which may hold nothing."""

import torch
from torch import Tensor

from foveal.ops.window import is_open, padded_size


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
