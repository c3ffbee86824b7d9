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
    variance = energy.sum((2, 3), keepdim=True) / max(x.shape[2] * x.shape[3] - 1, 1)
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


def _dense(x: Tensor) -> Tensor:
    """The map with the channels last if they are, or else the positions; a copy if need be."""
    last = torch.channels_last
    return x if x.is_contiguous(memory_format=last) else x.contiguous()


def _blocks(*maps: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same few channels of each dense map at a time, as views (1, channels, H, W)."""
    if not maps[0].is_contiguous():  # channels last: image by image
        yield from zip(*(x.split(1) for x in maps), strict=True)
        return
    size = max(BLOCK // (maps[0].shape[2] * maps[0].shape[3]), 1)
    yield from zip(*(x.flatten(0, 1)[None].split(size, 1) for x in maps), strict=True)


class _Normal:
    """The channels of a block, each normalised: deviations over the root of mean square plus ε.

    With ε = λ (N − 1) / N the exponent is (N − 1) / 4N times its square, plus one half; and torch
    normalises, forward and backward, in one kernel.
    """

    def __init__(self, x: Tensor, e_lambda: float):
        size = x.shape[2] * x.shape[3]
        self.x, self.factor = x, (size - 1) / (4 * size)
        self.shape = (1, x.shape[1], size, x.shape[1])  # batch, channels, positions, groups
        self.eps = e_lambda * (size - 1) / size or e_lambda
        aten, self.by_group = torch.ops.aten, x.is_contiguous()
        if self.by_group:
            found = aten.native_group_norm(x, None, None, *self.shape, self.eps)
        else:  # channels last: batch normalisation, for a batch of one, takes a tenth of the time
            found = aten.native_batch_norm(x, None, None, None, None, True, 0.0, self.eps)
        self.values, self.mean, self.inverse = found

    def weights(self) -> Tensor:
        half = self.values.new_full((), 0.5)
        return torch.addcmul(half, self.values, self.values, value=self.factor).sigmoid_()

    def back(self, pull: Tensor) -> Tensor:
        """The gradient by the block, for one by its weights' exponents times its values."""
        slope = pull.new_full(self.shape[1:2], 2 * self.factor)
        aten, found, which = torch.ops.aten, (self.mean, self.inverse), [True, False, False]
        if self.by_group:
            backward = aten.native_group_norm_backward
            return backward(pull, self.x, *found, slope, *self.shape, which)[0]
        backward = aten.native_batch_norm_backward
        return backward(pull, self.x, slope, None, None, *found, True, self.eps, which)[0]


class _Standout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, e_lambda: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.e_lambda = e_lambda
        x = _dense(x)
        wide = torch.promote_types(x.dtype, torch.float32)
        y = torch.empty_like(x)
        for x_block, y_block in _blocks(x, y):
            weights = _Normal(x_block.to(wide), e_lambda).weights()
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
            values, g = x_block.to(wide), g_block.to(wide)
            normal = _Normal(values, ctx.e_lambda)
            weights = normal.weights()
            pull = (g * values).mul_(normal.values)
            torch.ops.aten.sigmoid_backward.grad_input(pull, weights, grad_input=pull)
            through = normal.back(pull)
            if out.dtype == wide:
                torch.addcmul(through, g, weights, out=out)
            else:
                out.copy_(through.addcmul_(g, weights))
        return of_x, None
