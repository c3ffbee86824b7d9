"""Channels gated, and then positions, with one buffer for the whole backward pass."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from foveal.core.types import Map
from foveal.ops.dot import channel_dot
from foveal.ops.eager import runs_eagerly
from foveal.ops.gate import (
    ChannelsByBoth,
    Positions,
    plainly,
    spread,
    to_maxima,
    where_wanted,
)
from foveal.ops.pool import mean_over_channels, sum_over_channels
from foveal.ops.small import SmallNetwork

Network = Callable[..., Tensor]


def gate_channels_then_positions(
    x: Map,
    channel: Network,
    channel_parameters: Iterable[Tensor],
    position: Network,
    position_parameters: Iterable[Tensor],
) -> Map:
    """`gate_positions(gate_channels(x, channel, maximum=True), position)`.

    The map between the two gates is computed again where it is needed, and not kept.

    Args:
        x: a map (B, C, H, W).
        channel: from the means and the maxima of the channels, (B, C) each, to weights (B, C).
        position: from the maximum and the mean over the gated channels, (B, 2, H, W), to weights
            (B, 1, H, W).
        channel_parameters, position_parameters: what the two learn, for the backward pass.

    >>> channel, position = (lambda mean, maximum: mean), (lambda pooled: pooled[:, :1])
    >>> gate_channels_then_positions(torch.rand(2, 8, 5, 7), channel, (), position, ()).shape
    torch.Size([2, 8, 5, 7])
    """
    channel_parameters, position_parameters = list(channel_parameters), list(position_parameters)
    if not runs_eagerly():
        return _plainly(x, channel, position)
    if torch.is_grad_enabled():
        return _Both.apply(  # pyright: ignore[reportReturnType]
            channel, position, len(channel_parameters), x, *channel_parameters, *position_parameters
        )
    z = plainly(ChannelsByBoth(), channel, x)
    return z.mul_(position(*Positions().pool(z)))  # nobody else's: no second map is needed


def _plainly(x: Tensor, channel: Network, position: Network) -> Tensor:
    return plainly(Positions(), position, plainly(ChannelsByBoth(), channel, x))


class _Both(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, channel: Network, position: Network, split: int, x: Tensor, *parameters: Tensor
    ) -> Tensor:
        ctx.networks, ctx.split = (channel, position), split
        ctx.channel = SmallNetwork(channel, (x.mean((2, 3)), x.amax((2, 3))))
        z = x * ctx.channel.outputs[0][..., None, None]
        most, ctx.where = z.max(1, keepdim=True)
        ctx.position = SmallNetwork(position, (torch.cat((most, mean_over_channels(z)), 1),))
        ctx.save_for_backward(x, *parameters)
        return z.mul_(ctx.position.outputs[0])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        x, *parameters = ctx.saved_tensors
        wants = ctx.needs_input_grad[4:]
        if torch.is_grad_enabled():  # somebody differentiates twice: leave it all to autograd
            wanted = [p for p, wanted in zip(parameters, wants, strict=True) if wanted]
            y = _plainly(x, *ctx.networks)
            found = torch.autograd.grad(y, [x, *wanted], gradient, create_graph=True)
            return None, None, None, found[0], *where_wanted(wants, found[1:])
        learnt = [
            [p for p, wanted in zip(half, asked, strict=True) if wanted]
            for half, asked in (
                (parameters[: ctx.split], wants[: ctx.split]),
                (parameters[ctx.split :], wants[ctx.split :]),
            )
        ]
        channel, position = ctx.channel.outputs[0], ctx.position.outputs[0]
        buffer = gradient * x
        of_position = sum_over_channels(buffer, channel)
        (of_both,), of_position_parameters = ctx.position.back((of_position,), learnt[1])
        torch.addcmul(of_both[:, 1:] / x.shape[1], gradient, position, out=buffer)
        buffer.scatter_add_(1, ctx.where, of_both[:, :1])  # now by the map between the gates
        of_pooled, of_channel_parameters = ctx.channel.back((channel_dot(buffer, x),), learnt[0])
        torch.addcmul(spread(of_pooled[0], x), buffer, channel[..., None, None], out=buffer)
        of_x = to_maxima(buffer, x, of_pooled[1])
        found = [*of_channel_parameters, *of_position_parameters]
        return None, None, None, of_x, *where_wanted(wants, found)
