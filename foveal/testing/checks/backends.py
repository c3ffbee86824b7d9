"""Laws about operations that can be computed in more than one way."""

import contextlib

import torch
from torch import Tensor

from foveal.testing.attending import ExplicitAttention
from foveal.testing.law import NotCheckedError, law, require_close
from foveal.testing.subject import Subject

TOLERANCE = 1e-4


@law("fused", catches="a fused operation that is wrong off the happy path")
def fused_equals_reference(subject: Subject) -> None:
    """Fused attention against its formula: the output and every gradient."""
    for size in subject.sizes:
        formula = ExplicitAttention()
        fused = _outputs_and_gradients(subject, size, contextlib.nullcontext())
        reference = _outputs_and_gradients(subject, size, formula)
        if not formula.calls:
            raise NotCheckedError("forward calls no operation that has a second implementation")
        for name, wanted in reference.items():
            require_close(fused[name], wanted, TOLERANCE, f"{name} at {size[0]}×{size[1]}, fused")


def _outputs_and_gradients(subject: Subject, size: tuple[int, int], way) -> dict[str, Tensor]:
    module = subject.module()
    x = subject.input(size).requires_grad_()
    with way:
        y = module(x * 1)  # not a leaf, as in a network
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(3)))
    gradients = {"the input": x, **dict(module.named_parameters())}
    return {"the output": y.detach()} | {
        f"the gradient of {name}": tensor.grad
        for name, tensor in gradients.items()
        if tensor.grad is not None
    }
