"""Pooling over one axis, to the two numbers that many gates look at."""

import torch
from jaxtyping import Float
from torch import Tensor

from foveal.core.types import Map
from foveal.ops.eager import runs_eagerly
from foveal.ops.order import order_of


def max_and_mean(x: Tensor, dim: int) -> Tensor:
    """The maximum and the mean over one axis of a map, stacked as two channels, maximum first.

    Where several values share the maximum they share its gradient.

    Args:
        x: a map (B, C, H, W).
        dim: the axis to pool away: 1 (channels), 2 (rows) or 3 (columns).

    >>> max_and_mean(torch.rand(2, 8, 5, 7), dim=2).shape  # the rows are pooled away
    torch.Size([2, 2, 8, 7])
    """
    if dim > 1 and runs_eagerly() and order_of(x) == torch.channels_last:
        positions = x.permute(0, 2, 3, 1)  # a tenth of the time where the channels are last
        return torch.stack((positions.amax(dim - 1).mT, positions.mean(dim - 1).mT), dim=1)
    return torch.stack((x.amax(dim), x.mean(dim)), dim=1)


def mean_over_channels(x: Map) -> Float[Tensor, "b 1 h w"]:
    """The mean of all channels at each position.

    As a product, where nothing is recorded, it takes half of the time on a CPU.

    >>> mean_over_channels(torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)).item()
    2.0
    """
    plain = torch.is_grad_enabled() or not runs_eagerly() or x.device.type != "cpu"
    if plain or not x.is_contiguous() or x.element_size() < 4:
        return x.mean(1, keepdim=True)
    shares = x.new_full((1, x.shape[1]), 1 / x.shape[1])
    return sum_over_channels(x, shares.expand(x.shape[0], -1))


def sum_over_channels(x: Map, weights: Float[Tensor, "b c"]) -> Float[Tensor, "b 1 h w"]:
    """The sum of all channels at each position, each with its weight.

    >>> sum_over_channels(torch.ones(1, 2, 3, 3), torch.tensor([[1.0, 3.0]])).unique()
    tensor([4.])
    """
    if x.is_contiguous():
        return (weights[:, None] @ x.flatten(2)).view(len(x), 1, *x.shape[2:])
    return (x.permute(0, 2, 3, 1) @ weights[:, None, :, None]).permute(0, 3, 1, 2)
