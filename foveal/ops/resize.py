"""Maps averaged to a number of bins and drawn out again, as products with matrices.

`F.adaptive_avg_pool2d` and `F.interpolate` fix their windows when they are exported; matrices that
are built from the size of the map do not.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from foveal.core.types import Map


def adaptive_means(x: Map, height: int, width: int) -> Map:
    """The means of height × width bins that cover the map, as `F.adaptive_avg_pool2d` has them;
    also more bins than the map has positions.

    >>> adaptive_means(torch.rand(2, 8, 5, 7), 3, 12).shape
    torch.Size([2, 8, 3, 12])
    """
    rows = averaging(x.shape[2], height, x)
    return rows @ x @ averaging(x.shape[3], width, x).mT


def bilinear(x: Map, height: int, width: int, align_corners: bool = True) -> Map:
    """The map drawn out to height × width positions, linearly between its values, as
    `F.interpolate` does.

    >>> bilinear(torch.rand(2, 8, 3, 3), 5, 7).shape
    torch.Size([2, 8, 5, 7])
    """
    rows = between(x.shape[2], height, x, align_corners)
    return rows @ x @ between(x.shape[3], width, x, align_corners).mT


def averaging(size: int, bins: int, like: Tensor) -> Float[Tensor, "bins size"]:
    """Each bin's share of each of `size` positions, in the dtype and on the device of `like`.

    >>> averaging(4, 2, torch.zeros(()))
    tensor([[0.5000, 0.5000, 0.0000, 0.0000],
            [0.0000, 0.0000, 0.5000, 0.5000]])
    """
    of = torch.arange(bins, device=like.device)[:, None]
    first, end = of * size // bins, -(-(of + 1) * size // bins)
    place = torch.arange(size, device=like.device)
    inside = (place >= first) & (place < end)
    return torch.where(inside, 1 / (end - first).to(_wide(like)), 0).to(like.dtype)


def between(
    size: int, places: int, like: Tensor, align_corners: bool
) -> Float[Tensor, "places size"]:
    """The weights of `size` values at each of `places` points spread evenly over them.

    >>> between(2, 3, torch.zeros(()), align_corners=True)
    tensor([[1.0000, 0.0000],
            [0.5000, 0.5000],
            [0.0000, 1.0000]])
    """
    at = torch.arange(places, device=like.device, dtype=_wide(like))[:, None]
    if align_corners:
        at = at * (size - 1) / max(places - 1, 1)
    else:
        at = ((at + 0.5) * size / places - 0.5).clamp(0, size - 1)
    below, value = at.floor(), torch.arange(size, device=like.device)
    above = torch.where(value == below + 1, at - below, 0)
    return torch.where(value == below, 1 - (at - below), above).to(like.dtype)


def _wide(like: Tensor) -> torch.dtype:
    return torch.promote_types(like.dtype, torch.float32)
