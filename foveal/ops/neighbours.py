"""The k × k neighbours of every position: copied out, weighed, and scored against a query."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from foveal.core.errors import FovealError


def check_odd(kernel_size: int, dilation: int = 1) -> None:
    """Refuse a neighbourhood that has no middle.

    Raises:
        FovealError: if `kernel_size` is not odd and positive, or `dilation` not positive.
    """
    if kernel_size < 1 or kernel_size % 2 == 0 or dilation < 1:
        raise FovealError(
            f"kernel_size={kernel_size} must be odd, so that a position stands in the middle, and "
            f"dilation={dilation} positive"
        )


def neighbours(x: Tensor, kernel_size: int, dilation: int = 1, stride: int = 1) -> Tensor:
    """The neighbours of every position, row by row: (B, C, H, W) → (B, C, k², H, W).

    Beyond the edge lie zeros. With a stride s, only those of every s-th position: ⌈H/s⌉ × ⌈W/s⌉.
    This is k² times the input in memory; `weigh_neighbours` and `score_neighbours` need none of it.

    >>> neighbours(torch.rand(2, 8, 6, 9), 3).shape
    torch.Size([2, 8, 9, 6, 9])
    """
    check_odd(kernel_size, dilation)
    edge = dilation * (kernel_size // 2)
    columns = F.unfold(x, kernel_size, dilation, padding=edge, stride=stride)
    height = (x.shape[2] + stride - 1) // stride
    return columns.view(*x.shape[:2], kernel_size**2, height, -1)


def weigh_neighbours(
    x: Tensor, weights: Tensor, kernel_size: int, dilation: int = 1, *, padded: bool = False
) -> Tensor:
    r"""The weighted sum of every position's neighbours, $y_i = \sum_t w_{t,i}\,x_{i+t}$.

    Tap by tap, forwards and backwards, so that the k² copies of `neighbours` are never written:
    on a CPU it takes a tenth of their time, and saves for the backward pass only its arguments.

    Args:
        x: a map (…, H, W), of any leading axes.
        weights: (…, k², H, W). The weights (…, H, W) of one neighbour broadcast to x.
        kernel_size, dilation: as for `neighbours`.
        padded: x brings what lies beyond the edge, `dilation · (k // 2)` positions on every side,
            where otherwise zeros are seen.

    >>> heads = torch.rand(2, 4, 16, 6, 9)
    >>> weigh_neighbours(heads, torch.rand(2, 4, 1, 9, 6, 9), 3).shape
    torch.Size([2, 4, 16, 6, 9])
    """
    check_odd(kernel_size, dilation)
    _check_taps(weights, kernel_size)
    x, weights = _rows_in_memory(x), _rows_in_memory(weights)
    return _Weigh.apply(x, weights, kernel_size, dilation, padded)  # pyright: ignore


def score_neighbours(
    query: Tensor, x: Tensor, kernel_size: int, dilation: int = 1, *, padded: bool = False
) -> Tensor:
    r"""How every position's query matches its neighbours, $s_{t,i} = \sum_c q_{c,i}\,x_{c,i+t}$.

    Args:
        query, x: (…, D, H, W), summed over D. Beyond the edge x is zero, and so is the score.
        kernel_size, dilation: as for `neighbours`.
        padded: x brings what lies beyond the edge, as for `weigh_neighbours`.

    Returns:
        (…, k², H, W).

    >>> heads = torch.rand(2, 4, 16, 6, 9)
    >>> score_neighbours(heads, heads, 3).shape
    torch.Size([2, 4, 9, 6, 9])
    """
    check_odd(kernel_size, dilation)
    query, x = _rows_in_memory(query), _rows_in_memory(x)
    return _Score.apply(query, x, kernel_size, dilation, padded)  # pyright: ignore


def _rows_in_memory(x: Tensor) -> Tensor:
    """The map with the positions of a row side by side: taps of others take three times as long."""
    return x if x.stride(-1) == 1 else x.contiguous()


class _Weigh(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weights: Tensor, k: int, dilation: int, padded: bool
    ) -> Tensor:
        ctx.save_for_backward(x, weights)
        ctx.taps = k, dilation, padded
        return _weigh(x, weights, *ctx.taps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore
        x, weights = ctx.saved_tensors
        gradient = _rows_in_memory(gradient)
        by_x = by_weights = None
        if ctx.needs_input_grad[0]:
            by_x = _spread(gradient, weights, *ctx.taps)
        if ctx.needs_input_grad[1]:
            one = weights.select(-3, 0).shape
            taps = [(gradient * tap).sum_to_size(one) for tap in _shifted(x, *ctx.taps)]
            by_weights = torch.stack(taps, dim=-3)
        return by_x, by_weights, None, None, None


class _Score(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, x: Tensor, k: int, dilation: int, padded: bool) -> Tensor:
        ctx.save_for_backward(query, x)
        ctx.taps = k, dilation, padded
        return torch.stack([(query * tap).sum(-3) for tap in _shifted(x, *ctx.taps)], dim=-3)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore
        query, x = ctx.saved_tensors
        gradient = _rows_in_memory(gradient).unsqueeze(-4)
        by_query = _weigh(x, gradient, *ctx.taps) if ctx.needs_input_grad[0] else None
        by_x = _spread(query, gradient, *ctx.taps) if ctx.needs_input_grad[1] else None
        return by_query, by_x, None, None, None


def _shifted(x: Tensor, k: int, dilation: int, padded: bool) -> list[Tensor]:
    """The map as each of the k² neighbours sees it: views of one padded copy."""
    edge = dilation * (k // 2)
    wide = x if padded else F.pad(x, (edge,) * 4)
    height, width = wide.shape[-2] - 2 * edge, wide.shape[-1] - 2 * edge
    rows = [wide.narrow(-2, row * dilation, height) for row in range(k)]
    return [row.narrow(-1, column * dilation, width) for row in rows for column in range(k)]


def _weigh(x: Tensor, weights: Tensor, k: int, dilation: int, padded: bool) -> Tensor:
    taps = _shifted(x, k, dilation, padded)
    y = taps[0] * weights.select(-3, 0)
    for t in range(1, k * k):
        y.addcmul_(taps[t], weights.select(-3, t))
    return y


def _spread(x: Tensor, weights: Tensor, k: int, dilation: int, padded: bool) -> Tensor:
    """Every position gives to its neighbours by its weights for them: `_weigh`, transposed."""
    height, width = x.shape[-2:]
    edge = dilation * (k // 2)
    wide = F.pad(torch.zeros_like(x), (edge,) * 4)
    for t in range(k * k):
        row, column = (dilation * step for step in divmod(t, k))
        target = wide[..., row : row + height, column : column + width]
        target.addcmul_(x, weights.select(-3, t))
    return wide if padded else wide[..., edge : edge + height, edge : edge + width]


def _check_taps(weights: Tensor, kernel_size: int) -> None:
    if weights.ndim < 3 or weights.shape[-3] != kernel_size**2:
        raise FovealError(
            f"weights {tuple(weights.shape)} must be (…, {kernel_size**2}, H, W), one for each of "
            f"the {kernel_size} × {kernel_size} neighbours"
        )
