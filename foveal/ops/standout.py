"""The weights of SimAM, a block of channels at a time.

The formula reads and writes the map some fifteen times over. Channels do not depend on one another,
so on a CPU a few of them at a time go through all of it while they are in the cache; only the input
is kept for the backward pass, which computes the rest again.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from foveal.core.types import Map
from foveal.ops.eager import runs_eagerly

BLOCK = 1 << 17
"""Values that a block holds: half a megabyte in float32."""


def standout_weights(x: Map, e_lambda: float) -> Map:
    """σ((x − μ)² / (4 (σ̂² + λ)) + ½), for μ and σ̂² of each channel (Yang et al. 2021, eq. 5).

    Computed in float32 at least: half precision would overflow at deviations of 256.

    >>> standout_weights(torch.zeros(1, 2, 3, 3), 1e-4)[0, 0, 0, 0].item()
    0.622459352016449
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    energy = (x - x.mean((2, 3), keepdim=True)).to(wide).square()
    variance = energy.sum((2, 3), keepdim=True) / _others(x.shape[2] * x.shape[3])
    inverse = 1 / (4 * (variance + e_lambda))
    return torch.addcmul(energy.new_full((), 0.5), energy, inverse).sigmoid().to(x.dtype)


def gate_standout(x: Map, e_lambda: float) -> Map:
    """x ⊙ `standout_weights`(x, λ).

    >>> gate_standout(torch.rand(2, 8, 5, 7), 1e-4).shape
    torch.Size([2, 8, 5, 7])
    """
    if x.device.type != "cpu" or not runs_eagerly():
        return x * standout_weights(x, e_lambda)
    return _Standout.apply(x, e_lambda)  # pyright: ignore[reportReturnType]


def _others(positions: int) -> int:
    """Positions beside the one that is weighed. A map of one position has no variance."""
    return max(positions - 1, 1)


def _dense(x: Tensor) -> Tensor:
    """The map with the channels last if they are, or else the positions; a copy if need be."""
    last = torch.channels_last
    return x if x.is_contiguous(memory_format=last) else x.contiguous()


def _blocks(*maps: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same few channels of each dense map at a time, as views (channels, positions)."""
    if maps[0].is_contiguous():
        groups = [[x.view(-1, x.shape[2] * x.shape[3]) for x in maps]]
    else:  # channels last: image by image
        groups = [[image.flatten(1) for image in images] for images in zip(*maps, strict=True)]
    for rows in groups:
        size = max(BLOCK // rows[0].shape[1], 1)
        for start in range(0, len(rows[0]), size):
            yield tuple(x[start : start + size] for x in rows)


def _energy(x: Tensor, e_lambda: float) -> tuple[Tensor, Tensor, Tensor]:
    """Deviations, their squares, and one over 4 (σ̂² + λ), of a block in float32 or wider."""
    deviation = x - x.mean(1, keepdim=True)
    energy = deviation.square()
    variance = energy.sum(1, keepdim=True) / _others(x.shape[1])
    return deviation, energy, 1 / (4 * (variance + e_lambda))


class _Standout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, e_lambda: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.e_lambda = e_lambda
        x = _dense(x)
        wide = torch.promote_types(x.dtype, torch.float32)
        y = torch.empty_like(x)
        for x_block, y_block in _blocks(x, y):
            _, energy, inverse = _energy(x_block.to(wide), e_lambda)
            half = energy.new_full((), 0.5)
            weights = torch.addcmul(half, energy, inverse, out=energy).sigmoid_()
            torch.mul(x_block, weights.to(x.dtype), out=y_block)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore
        (x,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody differentiates twice: leave it all to autograd
            y = x * standout_weights(x, ctx.e_lambda)
            return torch.autograd.grad(y, x, gradient, create_graph=True)[0], None
        wide, x = torch.promote_types(x.dtype, torch.float32), _dense(x)
        if gradient.stride() != x.stride():
            gradient = torch.empty_like(x).copy_(gradient)
        of_x = torch.empty_like(x)
        for x_block, g_block, out in _blocks(x, gradient, of_x):
            xs, g = x_block.to(wide), g_block.to(wide)
            deviation, energy, inverse = _energy(xs, ctx.e_lambda)
            weights = torch.addcmul(energy.new_full((), 0.5), energy, inverse).sigmoid_()
            through = g * xs  # by the exponent, from here on
            found = g * weights
            through.mul_(torch.addcmul(weights, weights, weights, value=-1, out=weights))
            spread = energy.mul_(through).sum(1, keepdim=True) * inverse.square()
            spread *= 8 / _others(xs.shape[1])
            through.mul_(2 * inverse).sub_(spread).mul_(deviation)
            found.add_(through.sub_(through.mean(1, keepdim=True)))
            out.copy_(found)
        return of_x, None
