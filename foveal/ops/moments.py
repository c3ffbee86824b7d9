"""Gates from each channel's mean and variance, or mean and norm, with few passes over the map."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import Function

from foveal.core.types import Map
from foveal.ops.dot import channel_dot
from foveal.ops.eager import runs_eagerly
from foveal.ops.order import order_of

Kind = Literal["variance", "norm"]
_EPS = 1e-5


def moments(x: Map, kind: Kind = "variance") -> tuple[Tensor, ...]:
    """Each channel's mean and variance, or the root of its sum of squares.

    Args:
        x: a map (B, C, H, W).
        kind: `"variance"` for mean and variance (divided by N), `"norm"` for the root alone. Of
            half-precision maps variance and norm come in float32: those of large values overflow
            float16.

    Returns:
        (mean, variance) or (norm,), each (B, C).

    >>> mean, variance = moments(torch.tensor([1.0, 3.0]).view(1, 1, 1, 2))
    >>> mean.item(), variance.item()
    (2.0, 1.0)
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    if kind == "norm":
        return (torch.linalg.vector_norm(x, dim=(2, 3), dtype=wide),)
    mean = x.mean((2, 3))
    return mean, (x - _wide(mean)).to(wide).square().mean((2, 3))


def gate_by_moments(x: Map, weigh: Callable[..., Tensor], kind: Kind = "variance") -> Map:
    """x ⊙ weigh(moments), where `weigh` makes one weight per channel of the channels' moments.

    The gradient by x is g·∂y + a + b·x, with a and b from the moments. Autograd, left to itself,
    writes each term out and adds them up; here the terms meet in one place and are added as they
    are made. Compilers do that unasked, and are given the plain formula.

    Args:
        x: a map (B, C, H, W).
        weigh: from what `moments` gives to weights (B, C).
        kind: as for `moments`.

    >>> gate_by_moments(torch.rand(2, 8, 5, 7), lambda mean, variance: mean.sigmoid()).shape
    torch.Size([2, 8, 5, 7])
    """
    if not runs_eagerly():
        return x * _wide(weigh(*moments(x, kind)).to(x.dtype))
    if not (torch.is_grad_enabled() and x.requires_grad):
        return x * _wide(weigh(*_fast_moments(x, kind)).to(x.dtype))
    through, slot, *found = _Read.apply(x, kind)  # pyright: ignore[reportGeneralTypeIssues]
    return _Scale.apply(x, through, slot, weigh(*found).to(x.dtype))  # pyright: ignore


def _fast_moments(x: Tensor, kind: Kind) -> tuple[Tensor, ...]:
    """`moments`, without derivatives, in one pass where a kernel of normalisation gives them."""
    wide, on_cpu = torch.promote_types(x.dtype, torch.float32), x.device.type == "cpu"
    last = x.dtype == wide and order_of(x) == torch.channels_last
    if kind == "norm":
        return (channel_dot(x, x).sqrt(),) if on_cpu and last else moments(x, kind)
    if on_cpu and x.is_contiguous():
        batch, channels, height, width = x.shape
        # Its variance is taken about the mean; that of `var_mean` costs ten times as much on a CPU.
        _, mean, inverse = torch.native_group_norm(
            x, None, None, batch, channels, height * width, channels, _EPS
        )
        return mean.to(x.dtype), (inverse.to(wide).pow(-2) - _EPS).clamp(min=0)
    if on_cpu and last:  # likewise that of batch normalisation, over a batch of one image
        update = torch.ops.aten.batch_norm_update_stats
        images = [update(image, None, None, 0.0) for image in x.split(1)]
        return tuple(torch.stack(found) for found in zip(*images, strict=True))
    if on_cpu or x.dtype != wide:
        return moments(x)
    return torch.var_mean(x, (2, 3), correction=0)[::-1]


class _Read(Function):
    """The moments, and the map on its way to `_Scale` beside an empty slot.

    `_Scale` sends back the gradient of its result as it is, and through the slot the weights to
    scale it by. So the whole gradient by the map is made here, in one piece. Nobody else may use
    the map that goes through, or the slot.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kind: Kind) -> tuple[Tensor, ...]:
        found = _fast_moments(x, kind)
        ctx.kind = kind
        ctx.save_for_backward(x, *found)
        return x.view_as(x), x.new_zeros(x.shape[:2]), *found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # pyright: ignore
        pull, weights, *by_moments = gradients
        x, *found = ctx.saved_tensors
        if ctx.kind == "norm":  # that of nothing at all has no derivative: taken as 0
            slope = torch.where(found[0] > 0, by_moments[0] / found[0], 0).to(x.dtype)
            result = pull * _wide(weights)
        else:
            size = x.shape[2] * x.shape[3]
            slope = (by_moments[1] * (2 / size)).to(x.dtype)
            constant = by_moments[0] / size - slope * found[0]
            result = torch.addcmul(_wide(constant), pull, _wide(weights))
        return result.addcmul_(x, _wide(slope)), None


class _Scale(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, through: Tensor, slot: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(x, weights)
        return x * _wide(weights)

    @staticmethod
    def backward(ctx: Any, pull: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        x, weights = ctx.saved_tensors
        return None, pull, weights, channel_dot(pull, x)


def _wide(values: Tensor) -> Tensor:
    return values[..., None, None]
