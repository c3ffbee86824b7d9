"""Whether a host computes what it computed before."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from foveal.surgery.example import placed, run_example, undisturbed
from foveal.surgery.flow import tensors_in


@dataclass(frozen=True)
class Outputs:
    """What one run gave."""

    returned: list[Tensor]
    parts: list[Tensor]
    """What the model's own children returned: a head of zeros hides every change before it."""


def outputs(model: nn.Module, example: Any) -> Outputs:
    """Run the model once in evaluation; host and caller are left undisturbed."""
    parts: list[Tensor] = []

    def note(module: nn.Module, args: Any, output: Any) -> None:
        parts.extend(tensor.detach().clone() for tensor in tensors_in(output))

    watched = [
        child
        for child in model.children()
        # torch runs this one by other kernels once it has hooks
        if not isinstance(child, nn.TransformerEncoderLayer | torch.jit.ScriptModule)
    ]
    handles = [child.register_forward_hook(note) for child in watched]
    try:
        with undisturbed(model):
            result = run_example(model, placed(model, example))
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(result, Tensor | tuple | list | dict) and hasattr(result, "__dict__"):
        result = vars(result)
    return Outputs([tensor.detach().clone() for tensor in tensors_in(result)], parts)


def difference(a: Outputs, b: Outputs) -> float:
    """The largest difference anywhere, in what the model or one of its children returned."""
    return max(largest_difference(a.returned, b.returned), largest_difference(a.parts, b.parts))


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
