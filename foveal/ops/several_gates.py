"""A map gated by several small gates, without keeping the large one that they make together."""

from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor

from foveal.core.types import Map
from foveal.ops.eager import runs_eagerly


def gate_by_sum(x: Map, *gates: Tensor) -> Map:
    """x ⊙ (gate + gate + …), for gates that are 1 wide along some axes.

    Autograd keeps the sum, which is as large as the map, for the backward pass; here it is added up
    again.

    Args:
        x: a map (B, C, H, W).
        gates: each broadcasts to the map, such as (B, C, 1, 1) and (B, 1, H, W).

    >>> gate_by_sum(torch.ones(1, 2, 3, 4), torch.ones(1, 2, 1, 1), torch.ones(1, 1, 3, 4)).sum()
    tensor(48.)
    """
    if torch.is_grad_enabled() and runs_eagerly():
        return _GatedBySum.apply(x, *gates)  # pyright: ignore[reportReturnType]
    return x * reduce(add, gates)


def gate_and_add(x: Map, gate: Tensor) -> Map:
    """x + x ⊙ gate.

    >>> gate_and_add(torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, 4)).sum()
    tensor(48.)
    """
    if torch.is_grad_enabled() and runs_eagerly():
        return _GatedAndAdded.apply(x, gate)  # pyright: ignore[reportReturnType]
    return torch.addcmul(x, x, gate)


class _GatedBySum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *gates: Tensor) -> Tensor:
        ctx.save_for_backward(x, *gates)
        return x * reduce(add, gates)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        x, *gates = ctx.saved_tensors
        of_gates: list[Tensor | None] = [None for _ in gates]
        if any(ctx.needs_input_grad[1:]):
            product = gradient * x
            of_gates = [product.sum_to_size(gate.shape) for gate in gates]
            del product
        of_x = gradient * reduce(add, gates) if ctx.needs_input_grad[0] else None
        return of_x, *of_gates


class _GatedAndAdded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor) -> Tensor:
        ctx.save_for_backward(x, gate)
        return torch.addcmul(x, x, gate)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore
        x, gate = ctx.saved_tensors
        return torch.addcmul(gradient, gradient, gate), (gradient * x).sum_to_size(gate.shape)
