"""Gates whose weights come from a few means of the map, trained with few passes over the map.

Autograd, left to itself, writes the product of gradient and map, the gradient through the gate and
the gradient through the means as maps of their own, and adds them up: 14 maps read and written for
a squeeze-and-excitation, of which 5 are held at once. Here the backward pass is written out. The
small network between the means and the weights stays anybody's: it is given as a function, and
autograd goes through it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from foveal.core.types import Map
from foveal.ops.eager import runs_eagerly

Network = Callable[..., Tensor | tuple[Tensor, ...]]


def gate_channels(x: Map, network: Network, parameters: Iterable[nn.Parameter]) -> Map:
    """x ⊙ network(mean of each channel), one weight per channel.

    Args:
        x: a map (B, C, H, W).
        network: from means (B, C) to weights (B, C).
        parameters: what the network learns, for the backward pass.

    >>> gate_channels(torch.rand(2, 8, 5, 7), torch.sigmoid, ()).shape
    torch.Size([2, 8, 5, 7])
    """
    return _gated(x, _Channels, network, parameters)


def gate_strips(x: Map, network: Network, parameters: Iterable[nn.Parameter]) -> Map:
    """x ⊙ rows ⊙ columns, for (rows, columns) = network(mean of each row, mean of each column).

    Args:
        x: a map (B, C, H, W).
        network: from means (B, C, H) and (B, C, W) to weights of the same shapes.
        parameters: what the network learns, for the backward pass.

    >>> gate_strips(torch.rand(2, 8, 5, 7), lambda rows, columns: (rows, columns), ()).shape
    torch.Size([2, 8, 5, 7])
    """
    return _gated(x, _Strips, network, parameters)


class _Channels:
    """One weight per channel, from the channel's mean."""

    @staticmethod
    def means(x: Tensor) -> tuple[Tensor, ...]:
        return (x.mean((2, 3)),)

    @staticmethod
    def apply(x: Tensor, weights: Tensor) -> Tensor:
        return x * weights[..., None, None]

    @staticmethod
    def backward(gradient: Tensor, x: Tensor, weights: Tensor, through: Callable) -> Tensor:
        (means,) = through(_dot(gradient, x))
        share = (means / (x.shape[2] * x.shape[3]))[..., None, None]
        return torch.addcmul(share, gradient, weights[..., None, None])


class _Strips:
    """One weight per channel and row, and one per channel and column, from the strips' means."""

    @staticmethod
    def means(x: Tensor) -> tuple[Tensor, ...]:
        return x.mean(3), x.mean(2)

    @staticmethod
    def apply(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        return (x * rows[..., None]).mul_(columns[:, :, None])

    @staticmethod
    def backward(
        gradient: Tensor, x: Tensor, rows: Tensor, columns: Tensor, through: Callable
    ) -> Tensor:
        r, c = rows[..., None], columns[:, :, None]
        product = gradient * x
        if product.is_contiguous():
            sums = (product @ columns[..., None])[..., 0], (rows[:, :, None] @ product)[:, :, 0]
            rows_mean, columns_mean = through(*sums)
        else:  # a product of matrices would have to copy the map; one buffer serves for all
            of_rows = product.mul_(c).sum(3)
            of_columns = torch.mul(gradient, x, out=product).mul_(r).sum(2)
            rows_mean, columns_mean = through(of_rows, of_columns)
        torch.mul(gradient, r, out=product).mul_(c)
        rows_mean, columns_mean = rows_mean / x.shape[3], columns_mean / x.shape[2]
        if not product.is_contiguous():
            return product.add_(rows_mean[..., None]).add_(columns_mean[:, :, None])
        # The two shares of a value add up to an outer sum, which is a product of rank 2.
        left = torch.stack((rows_mean, torch.ones_like(rows_mean)), dim=-1)  # (B, C, H, 2)
        right = torch.stack((torch.ones_like(columns_mean), columns_mean), dim=-2)  # (B, C, 2, W)
        maps = product.flatten(0, 1)
        return maps.baddbmm_(left.flatten(0, 1), right.flatten(0, 1)).view_as(product)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum over positions of the products of two maps, channel by channel, without the products."""
    if a.is_contiguous() and b.is_contiguous():
        return (a.flatten(2)[:, :, None] @ b.flatten(2)[..., None])[..., 0, 0]
    return (a * b).sum((2, 3))


class _Gated(torch.autograd.Function):
    """A form's `apply`, whose backward pass is the form's own."""

    @staticmethod
    def forward(ctx: Any, form: Any, network: Network, x: Tensor, *parameters: Tensor) -> Tensor:
        means = tuple(mean.requires_grad_() for mean in form.means(x))
        with torch.enable_grad():
            weights = _tuple(network(*means))
        ctx.form, ctx.network, ctx.small = form, network, (means, weights)
        ctx.save_for_backward(x, *parameters)
        return form.apply(x, *(weight.detach() for weight in weights))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        x, *parameters = ctx.saved_tensors
        wanted = [p for p, wants in zip(parameters, ctx.needs_input_grad[3:], strict=True) if wants]
        if torch.is_grad_enabled():  # somebody differentiates twice: leave it all to autograd
            y = _plainly(ctx.form, ctx.network, x)
            found = torch.autograd.grad(
                y, [x, *wanted], gradient, create_graph=True, allow_unused=True
            )
            return None, None, found[0], *_where_wanted(ctx, found[1:])
        means, weights = ctx.small
        of_parameters: tuple[Tensor | None, ...] = ()

        def through(*of_weights: Tensor) -> tuple[Tensor, ...]:
            nonlocal of_parameters
            found = torch.autograd.grad(
                weights,
                [*means, *wanted],
                [g.to(w.dtype) for g, w in zip(of_weights, weights, strict=True)],
                retain_graph=True,
                materialize_grads=True,
            )
            of_parameters = found[len(means) :]
            return found[: len(means)]

        of_x = ctx.form.backward(gradient, x, *(w.detach() for w in weights), through)
        return None, None, of_x, *_where_wanted(ctx, of_parameters)


def _where_wanted(
    ctx: FunctionCtx, gradients: tuple[Tensor | None, ...]
) -> Iterator[Tensor | None]:
    """One gradient or None for each parameter, as autograd asks for them."""
    found = iter(gradients)
    return (next(found) if wants else None for wants in ctx.needs_input_grad[3:])  # pyright: ignore


def _gated(x: Tensor, form: Any, network: Network, parameters: Iterable[nn.Parameter]) -> Tensor:
    if torch.is_grad_enabled() and runs_eagerly():
        return _Gated.apply(form, network, x, *parameters)  # pyright: ignore
    return _plainly(form, network, x)


def _plainly(form: Any, network: Network, x: Tensor) -> Tensor:
    return form.apply(x, *_tuple(network(*form.means(x))))


def _tuple(weights: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (weights,) if isinstance(weights, Tensor) else weights
