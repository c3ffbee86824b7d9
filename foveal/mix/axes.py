"""Which axis is what: maps (B, C, H, W), tokens (B, N, C) and video (B, T, C, H, W) alike."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def channel_axis(x: Tensor) -> int:
    """The axis of the channels: 1 in a map, 2 in tokens and in a video."""
    return 1 if x.ndim == 4 else 2


def position_axes(x: Tensor) -> tuple[int, ...]:
    """Every axis but those of the batch and the channels.

    >>> position_axes(torch.rand(2, 8, 5, 7)), position_axes(torch.rand(2, 35, 8))
    ((2, 3), (1,))
    """
    return tuple(axis for axis in range(1, x.ndim) if axis != channel_axis(x))


def means(x: Tensor) -> Tensor:
    """Each channel's mean over all positions, (B, C)."""
    return x.mean(position_axes(x))


def sizes(x: Tensor) -> Tensor:
    """Each channel's root of the mean square over all positions, (B, C): read off the map in one
    pass, summed in float32 at least, and never larger than the largest value."""
    axes = position_axes(x)
    wide = torch.promote_types(x.dtype, torch.float32)
    norms = torch.linalg.vector_norm(x, dim=axes, dtype=wide)
    return (norms / math.prod([x.shape[axis] for axis in axes]) ** 0.5).to(x.dtype)


def per_image(numbers: Tensor, x: Tensor) -> Tensor:
    """Numbers (B, K), one for each branch, as weights of branches of x: (B, K, 1, 1, 1) for a map.

    >>> per_image(torch.rand(2, 3), torch.rand(2, 8, 5, 7)).shape
    torch.Size([2, 3, 1, 1, 1])
    """
    return numbers.reshape(*numbers.shape[:2], *[1] * (x.ndim - 1))


def per_channel(numbers: Tensor, x: Tensor) -> Tensor:
    """Numbers (…, C) with axes of one for the positions of x: (…, C, 1, 1) for a map."""
    after = x.ndim - 1 - channel_axis(x)
    before = channel_axis(x) - 1
    return numbers.reshape(*numbers.shape[:-1], *[1] * before, numbers.shape[-1], *[1] * after)


class Pointwise(nn.Module):
    """One linear layer at every position of a map, of tokens or of a video.

    Parameters: channels·out + bias·out. Multiply-adds: channels·out·H·W.
    """

    def __init__(self, channels: int, out: int, bias: bool = True):
        super().__init__()
        self.channels, self.out, self.bias = channels, out, bias
        self.layer = nn.Linear(channels, out, bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 3:
            return self.layer(x)
        weight = self.layer.weight[..., None, None]
        if x.ndim == 4:
            return F.conv2d(x, weight, self.layer.bias)
        frames = F.conv2d(x.flatten(0, 1), weight, self.layer.bias)
        return frames.unflatten(0, x.shape[:2])
