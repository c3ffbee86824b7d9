"""Laws about operations that can be computed in more than one way."""

import contextlib

import torch
from torch import Tensor

from foveal.testing.attending import ExplicitAttention
from foveal.testing.law import NotCheckedError, law, require_close
from foveal.testing.subject import Subject

TOLERANCE = 1e-4
NOTHING = 1e-9
"""In parts of the largest of all: a gradient below is a rest of rounding."""


@law("fused", catches="a fused operation that is wrong off the happy path")
def fused_equals_reference(subject: Subject) -> None:
    """Fused attention against its formula: the output and every gradient, in float64. A gradient
    that is a small rest of large numbers, as between two attentions with nothing added to what they
    average, is in float32 no more than their rounding."""
    for size in subject.sizes:
        formula = ExplicitAttention()
        fused = _outputs_and_gradients(subject, size, contextlib.nullcontext())
        reference = _outputs_and_gradients(subject, size, formula)
        if not formula.calls:
            raise NotCheckedError("forward calls no operation that has a second implementation")
        nothing = NOTHING * max(wanted.abs().max().item() for wanted in reference.values())
        for name, wanted in reference.items():
            what = f"{name} at {size[0]}×{size[1]}, fused"
            require_close(fused[name], wanted, TOLERANCE, what, nothing)


def _outputs_and_gradients(subject: Subject, size: tuple[int, int], way) -> dict[str, Tensor]:
    module = subject.module().double()
    x = subject.input(size).double().requires_grad_()
    with way:
        y = module(x * 1)  # not a leaf, as in a network
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(3), dtype=y.dtype))
    gradients = {"the input": x, **dict(module.named_parameters())}
    return {"the output": y.detach()} | {
        f"the gradient of {name}": tensor.grad
        for name, tensor in gradients.items()
        if tensor.grad is not None
    }
