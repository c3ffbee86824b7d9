"""Whether a host computes what it computed before."""

from typing import Any

import torch
from torch import Tensor, nn

from foveal.surgery.example import placed, run_example, undisturbed
from foveal.surgery.flow import tensors_in


def outputs(model: nn.Module, example: Any) -> list[Tensor]:
    """The tensors that a plain run in evaluation returns; host and caller are left undisturbed."""
    with undisturbed(model):
        result = run_example(model, placed(model, example))
        if not isinstance(result, Tensor | tuple | list | dict) and hasattr(result, "__dict__"):
            result = vars(result)
        return [tensor.detach().clone() for tensor in tensors_in(result)]


def largest_difference(a: list[Tensor], b: list[Tensor]) -> float:
    """The largest absolute difference between two runs' outputs; 0.0 only if all are equal.

    Not-a-number where the other has it too is no difference; outputs of other shapes are infinitely
    far apart.

    >>> largest_difference([torch.zeros(2)], [torch.tensor([0.0, 0.5])])
    0.5
    """
    if [t.shape for t in a] != [t.shape for t in b] or [t.dtype for t in a] != [t.dtype for t in b]:
        return float("inf")
    largest = 0.0
    for x, y in zip(a, b, strict=True):
        same = (x == y) | ((x != x) & (y != y))
        if not same.all():
            wide = torch.complex128 if x.is_complex() else torch.float64
            apart = (x.to(wide) - y.to(wide)).abs()[~same].nan_to_num(nan=float("inf"))
            largest = max(largest, apart.max().item())
    return largest
