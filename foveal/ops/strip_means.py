"""The means of a map's rows and columns, whose gradients go back as one map."""

from typing import Any

import torch
from torch import Tensor

from foveal.core.types import Map
from foveal.ops.eager import runs_eagerly
from foveal.ops.order import order_of


def strip_means(x: Map, sides: bool = False) -> tuple[Tensor, ...]:
    """The mean of each row and of each column.

    Autograd, left to itself, writes one map for each and a third for their sum.

    Args:
        x: a map (B, C, H, W).
        sides: give the first and the last column also.

    Returns:
        (rows, columns), of shapes (B, C, H) and (B, C, W), and with `sides` (rows, columns, first,
        last), the latter of shape (B, C, H).

    >>> rows, columns = strip_means(torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 1, 2, 2))
    >>> rows.tolist(), columns.tolist()
    ([[[1.5, 3.5]]], [[[2.0, 3.0]]])
    """
    if torch.is_grad_enabled() and x.requires_grad and runs_eagerly():
        return _StripMeans.apply(x, sides)  # pyright: ignore[reportReturnType]
    means = _means(x)
    return (*means, x[..., 0], x[..., -1]) if sides else means


def _means(x: Map) -> tuple[Tensor, Tensor]:
    if not runs_eagerly() or order_of(x) == torch.contiguous_format:
        return x.mean(3), x.mean(2)
    positions = x.permute(0, 2, 3, 1)  # fourteen times as quick where the channels are last
    return positions.mean(2).mT, positions.mean(1).mT


class _StripMeans(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sides: bool) -> tuple[Tensor, ...]:
        ctx.order, means = order_of(x), _means(x)
        return (*means, x[..., 0].clone(), x[..., -1].clone()) if sides else means

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # pyright: ignore
        rows, columns = gradients[0][..., None], gradients[1][:, :, None]
        rows, columns = rows / columns.shape[3], columns / rows.shape[2]
        # Of two small maps in the order of x the sum comes in that order, too.
        rows, columns = (t.contiguous(memory_format=ctx.order) for t in (rows, columns))
        of_x = rows + columns
        for column, of_side in zip((0, -1), gradients[2:], strict=False):
            of_x[..., column] += of_side
        return of_x, None
