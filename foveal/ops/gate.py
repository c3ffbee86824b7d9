"""Gates whose weights come from a few numbers pooled from the map, trained in few passes over it.

Autograd, left to itself, writes the product of gradient and map, the gradient through the gate and
the gradient through the pooling as maps of their own, and adds them up: 14 maps read and written
for a squeeze-and-excitation, of which 5 are held at once. Here the backward pass is written out.
The small network between the pooled numbers and the weights stays anybody's: it is given as a
function, and autograd goes through it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from foveal.core.types import Map
from foveal.ops.dot import channel_dot, strip_dots
from foveal.ops.eager import runs_eagerly
from foveal.ops.order import in_order_of, in_turn
from foveal.ops.pool import mean_over_channels
from foveal.ops.small import SmallNetwork
from foveal.ops.strip_means import strip_means

Network = Callable[..., Tensor | tuple[Tensor, ...]]


def gate_channels(
    x: Map, network: Network, parameters: Iterable[Tensor], maximum: bool = False
) -> Map:
    """x ⊙ network(mean of each channel), one weight per channel.

    Args:
        x: a map (B, C, H, W).
        network: from means (B, C) to weights (B, C).
        parameters: what the network learns, for the backward pass.
        maximum: give the network the maximum of each channel also, as its second argument.

    >>> gate_channels(torch.rand(2, 8, 5, 7), torch.sigmoid, ()).shape
    torch.Size([2, 8, 5, 7])
    """
    return _gated(x, ChannelsByBoth() if maximum else Channels(), network, parameters)


def gate_strips(x: Map, network: Network, parameters: Iterable[Tensor]) -> Map:
    """x ⊙ rows ⊙ columns, for (rows, columns) = network(mean of each row, mean of each column).

    Args:
        x: a map (B, C, H, W).
        network: from means (B, C, H) and (B, C, W) to weights of the same shapes.
        parameters: what the network learns, for the backward pass.

    >>> gate_strips(torch.rand(2, 8, 5, 7), lambda rows, columns: (rows, columns), ()).shape
    torch.Size([2, 8, 5, 7])
    """
    return _gated(x, Strips(), network, parameters)


def gate_positions(x: Map, network: Network, parameters: Iterable[Tensor]) -> Map:
    """x ⊙ network(maximum and mean over the channels), one weight per position.

    Args:
        x: a map (B, C, H, W).
        network: from (B, 2, H, W), the maximum first, to weights (B, 1, H, W).
        parameters: what the network learns, for the backward pass.

    >>> gate_positions(torch.rand(2, 8, 5, 7), lambda two: two.mean(1, True), ()).shape
    torch.Size([2, 8, 5, 7])
    """
    return _gated(x, Positions(), network, parameters)


class Channels:
    """One weight per channel, from the channel's mean."""

    def pool(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x.mean((2, 3)),)

    def apply(self, x: Tensor, weights: Tensor) -> Tensor:
        return x * weights[..., None, None]

    def backward(self, gradient: Tensor, x: Tensor, weights: Tensor, through: Callable) -> Tensor:
        (of_mean,) = through(channel_dot(gradient, x))
        return torch.addcmul(spread(of_mean, x), gradient, weights[..., None, None])


class ChannelsByBoth(Channels):
    """One weight per channel, from the channel's mean and maximum."""

    def pool(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.mean((2, 3)), x.amax((2, 3))

    def backward(self, gradient: Tensor, x: Tensor, weights: Tensor, through: Callable) -> Tensor:
        of_mean, of_maximum = through(channel_dot(gradient, x))
        of_x = torch.addcmul(spread(of_mean, x), gradient, weights[..., None, None])
        return to_maxima(of_x, x, of_maximum)


class Strips:
    """One weight per channel and row, and one per channel and column, from the strips' means."""

    def pool(self, x: Tensor) -> tuple[Tensor, ...]:
        return strip_means(x)

    def apply(self, x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        r, c = (in_order_of(x, t) for t in (rows[..., None], columns[:, :, None]))
        return (x * r).mul_(c)

    def backward(
        self, gradient: Tensor, x: Tensor, rows: Tensor, columns: Tensor, through: Callable
    ) -> Tensor:
        of_rows, of_columns = through(*strip_dots(gradient, x, rows, columns))
        of_rows, of_columns = of_rows / x.shape[3], of_columns / x.shape[2]
        small = rows[..., None], columns[:, :, None], of_rows[..., None], of_columns[:, :, None]
        of_x = torch.empty_like(x, dtype=torch.result_type(gradient, rows))
        for g, out, r, c, of_r, of_c in in_turn(gradient, of_x, *small):
            torch.mul(g, in_order_of(out, r), out=out)
            torch.addcmul(in_order_of(out, of_r), out, in_order_of(out, c), out=out)
            out.add_(in_order_of(out, of_c))
        return of_x


class Positions:
    """One weight per position, from the channels' maximum and mean there."""

    def pool(self, x: Tensor) -> tuple[Tensor, ...]:
        return (torch.cat((x.amax(1, keepdim=True), mean_over_channels(x)), dim=1),)

    def apply(self, x: Tensor, weights: Tensor) -> Tensor:
        return x * weights

    def backward(self, gradient: Tensor, x: Tensor, weights: Tensor, through: Callable) -> Tensor:
        product = gradient * x
        (of_both,) = through(product.sum(1, keepdim=True))
        share = of_both[:, 1:] / x.shape[1]
        of_x = torch.addcmul(share, gradient, weights, out=product)
        # `max` finds the place in half of the time of `argmax`.
        return of_x.scatter_add_(1, x.max(1, keepdim=True).indices, of_both[:, :1])


def spread(of_mean: Tensor, x: Map) -> Tensor:
    """What each position of `x` gets of the gradient by the channel's mean: (B, C, 1, 1)."""
    return (of_mean / (x.shape[2] * x.shape[3]))[..., None, None]


def to_maxima(of_x: Map, x: Map, of_maximum: Tensor) -> Map:
    """Add, in place, the gradient by each channel's maximum to where the (first) maximum is."""
    flat, where = of_x.flatten(2), x.flatten(2).max(2, keepdim=True).indices
    flat.scatter_add_(2, where, of_maximum[..., None])
    return flat.view_as(of_x)


class _Gated(torch.autograd.Function):
    """A form's `apply`, whose backward pass is the form's own."""

    @staticmethod
    def forward(ctx: Any, form: Any, network: Network, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.form, ctx.network = form, network
        ctx.small = SmallNetwork(network, form.pool(x))
        ctx.save_for_backward(x, *parameters)
        return form.apply(x, *ctx.small.outputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        x, *parameters = ctx.saved_tensors
        wanted = [p for p, wants in zip(parameters, ctx.needs_input_grad[3:], strict=True) if wants]
        if torch.is_grad_enabled():  # somebody differentiates twice: leave it all to autograd
            y = plainly(ctx.form, ctx.network, x)
            found = torch.autograd.grad(y, [x, *wanted], gradient, create_graph=True)
            return None, None, found[0], *where_wanted(ctx.needs_input_grad[3:], found[1:])
        learnt: list[Tensor] = []

        def through(*of_weights: Tensor) -> Sequence[Tensor]:
            of_pooled, of_parameters = ctx.small.back(of_weights, wanted)
            learnt.extend(of_parameters)
            return of_pooled

        of_x = ctx.form.backward(gradient, x, *ctx.small.outputs, through)
        return None, None, of_x, *where_wanted(ctx.needs_input_grad[3:], learnt)


def where_wanted(wants: Sequence[bool], gradients: Sequence[Tensor]) -> Iterator[Tensor | None]:
    """One gradient for each parameter that wants one, and None for the others."""
    found = iter(gradients)
    return (next(found) if wanted else None for wanted in wants)


def _gated(x: Tensor, form: Any, network: Network, parameters: Iterable[Tensor]) -> Tensor:
    if torch.is_grad_enabled() and runs_eagerly():
        return _Gated.apply(form, network, x, *parameters)  # pyright: ignore
    return plainly(form, network, x)


def plainly(form: Any, network: Network, x: Tensor) -> Tensor:
    """What a form of gate computes, for compilers, for inference and for second derivatives."""
    weights = network(*form.pool(x))
    return form.apply(x, *((weights,) if isinstance(weights, Tensor) else weights))
