"""A map taken apart into the bands of an orthonormal wavelet, and put together again.

The map is taken to begin anew where it ends, which keeps the transform orthonormal at any even
size; an odd row or column is doubled first, and cut off again afterwards.
"""

from math import sqrt

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from foveal.core.types import Map
from foveal.ops.window import is_open

_NORM = 4 * sqrt(2)

LOW_PASS: dict[str, tuple[float, ...]] = {
    "haar": (1 / sqrt(2), 1 / sqrt(2)),
    "db2": (
        (1 + sqrt(3)) / _NORM,
        (3 + sqrt(3)) / _NORM,
        (3 - sqrt(3)) / _NORM,
        (1 - sqrt(3)) / _NORM,
    ),
}
"""Low-pass filters by name, after Daubechies, *Ten Lectures on Wavelets* (1992), chapter 6."""


def wavelet_kernels(wavelet: str) -> Float[Tensor, "4 k k"]:
    """The filters of the four bands: means; changes from left to right, from top to bottom, and in
    both directions. They are orthonormal to one another and to their shifts by two.

    >>> wavelet_kernels("haar").flatten(1).round(decimals=3).tolist()[1]
    [0.5, -0.5, 0.5, -0.5]
    """
    low = torch.tensor(LOW_PASS[wavelet], dtype=torch.float64)
    signs = torch.ones_like(low)
    signs[1::2] = -1
    high = low.flip(0) * signs
    bands = ((low, low), (low, high), (high, low), (high, high))
    return torch.stack([torch.outer(rows, columns) for rows, columns in bands]).float()


def analyse(x: Map, kernels: Float[Tensor, "4 k k"]) -> list[Map]:
    """The four bands of a map, each (B, C, ⌈H/2⌉, ⌈W/2⌉).

    >>> [band.shape[2:] for band in analyse(torch.rand(1, 2, 5, 8), wavelet_kernels("haar"))][0]
    torch.Size([3, 4])
    """
    taps, channels = kernels.shape[-1], x.shape[1]
    for axis in (2, 3):
        size = x.shape[axis]
        even = (size + 1) // 2 * 2
        if is_open(size) or size % 2:
            x = F.pad(x, (0, axis - 2, 0, 3 - axis), mode="replicate")
        if is_open(size) or taps > 2:
            x = _round(x, axis, 0, even + taps - 2, even)
    weight = kernels.to(x.dtype)[:, None].repeat(channels, 1, 1, 1)
    bands = F.conv2d(x, weight, stride=2, groups=channels)
    return list(bands.unflatten(1, (channels, 4)).unbind(2))


def synthesise(
    bands: list[Map | None], kernels: Float[Tensor, "4 k k"], height: int, width: int
) -> Map:
    """The map of height × width that has these bands; a band that is None is all zeros.

    >>> x, kernels = torch.rand(1, 2, 5, 8), wavelet_kernels("db2")
    >>> torch.allclose(synthesise(analyse(x, kernels), kernels, 5, 8), x, atol=1e-5)
    True
    """
    there = [i for i, band in enumerate(bands) if band is not None]
    joined = torch.stack([bands[i] for i in there], dim=2)  # pyright: ignore
    channels, taps = joined.shape[1], kernels.shape[-1]
    x = joined.flatten(1, 2)
    before = taps // 2 - 1
    for axis in (2, 3) if before else ():
        size = x.shape[axis]
        x = _round(x, axis, -before, size, size)
    weight = kernels.to(x.dtype)[there][:, None].repeat(channels, 1, 1, 1)
    drawn = F.conv_transpose2d(x, weight, stride=2, groups=channels)
    if is_open(height) or is_open(width):
        drawn = F.pad(drawn, (0, 1, 0, 1))  # lest an export at an even size expect those only
    first = taps - 2
    return drawn[:, :, first : first + height, first : first + width]


def _round(x: Tensor, axis: int, first: int, end: int, size: int) -> Tensor:
    """The positions from `first` to `end` of an axis that begins anew after `size` of them."""
    place = torch.arange(first, end, device=x.device)
    return x.index_select(axis, place - place // size * size)  # exporters know no % of open sizes
