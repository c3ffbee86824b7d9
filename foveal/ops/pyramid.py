"""A map at half its size and back, by the binomial filter of Burt and Adelson's pyramids."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from foveal.core.types import Map

BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
"""The filter along one axis (Burt and Adelson 1983, with a = 3/8)."""


def binomial_kernel() -> Float[Tensor, "5 5"]:
    """The filter along both axes; its sum is 1.

    >>> binomial_kernel().sum()
    tensor(1.)
    """
    taps = torch.tensor(BINOMIAL)
    return torch.outer(taps, taps)


def reduce(x: Map, kernel: Float[Tensor, "5 5"]) -> Map:
    """The map smoothed and every second position kept: (B, C, ⌈H/2⌉, ⌈W/2⌉).

    What lies beyond the edge is taken to be as the edge. One position stays one position.

    >>> reduce(torch.rand(2, 8, 5, 1), binomial_kernel()).shape
    torch.Size([2, 8, 3, 1])
    """
    padded = F.pad(x, (2, 2, 2, 2), mode="replicate")
    return F.conv2d(padded, _for_each_channel(kernel, x), stride=2, groups=x.shape[1])


def expand(x: Map, kernel: Float[Tensor, "5 5"], height: int, width: int) -> Map:
    """The map drawn out to height × width, of which ⌈height/2⌉ × ⌈width/2⌉ is its own size.

    >>> expand(torch.rand(2, 8, 3, 1), binomial_kernel(), 5, 1).shape
    torch.Size([2, 8, 5, 1])
    """
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    weight = _for_each_channel(4 * kernel, x)
    drawn = F.conv_transpose2d(padded, weight, stride=2, groups=x.shape[1])
    return drawn[:, :, 4 : 4 + height, 4 : 4 + width]


def _for_each_channel(kernel: Tensor, x: Tensor) -> Tensor:
    return kernel.to(x.dtype).expand(x.shape[1], 1, *kernel.shape)
