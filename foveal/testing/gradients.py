"""What a mechanism returns and passes back, to be compared with what another way gives."""

from collections.abc import Callable

import torch
from torch import Tensor

from foveal.testing.law import require_close
from foveal.testing.subject import Subject

TOLERANCE = 1e-4
NOTHING = 1e-9
"""In parts of the largest of all: a gradient below is a rest of rounding."""


def outputs_and_gradients(
    subject: Subject,
    size: tuple[int, int] | None = None,
    ordered: Callable[[Tensor], Tensor] = lambda gradient: gradient,
) -> dict[str, Tensor]:
    """The output, and for one random gradient of it, brought into some order, the gradients of the
    input and of every parameter, by what they are called; in float64."""
    module = subject.module().double()
    x = subject.input(size).double().requires_grad_()
    y = module(x * 1)  # not a leaf, as in a network
    pull = torch.randn(y.shape, generator=torch.Generator().manual_seed(3), dtype=y.dtype)
    y.backward(ordered(pull))
    tensors = {"the input": x, **dict(module.named_parameters())}
    return {"the output": y.detach()} | {
        f"the gradient of {name}": tensor.grad
        for name, tensor in tensors.items()
        if tensor.grad is not None
    }


def require_same(found: dict[str, Tensor], wanted: dict[str, Tensor], when: str) -> None:
    """Raise where two such results differ."""
    nothing = NOTHING * max(tensor.abs().max().item() for tensor in wanted.values())
    for name, tensor in wanted.items():
        require_close(found[name], tensor, TOLERANCE, f"{name} {when}", nothing)
