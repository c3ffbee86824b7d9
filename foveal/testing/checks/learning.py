"""Laws about gradients."""

import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.func import functional_call

from foveal.testing.law import BrokenLawError, law
from foveal.testing.subject import Subject


@law("learning", catches="dead layers, parameters made anew, gradients cut or not finite")
def every_parameter_learns(subject: Subject) -> None:
    """In train mode each parameter gets a finite gradient; in train or eval mode one that is not
    zero. (A convolution's bias before a batch normalisation learns nothing in train mode.)"""
    moved: dict[str, float] = {}
    for train in (True, False):
        module = subject.module(train=train)
        parameters = dict(module.named_parameters())
        x = subject.input(batch=4).requires_grad_()
        y = module(x * 1)  # not a leaf, as in a network
        y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(3)))
        _require_gradient("the input", x)
        for name, parameter in parameters.items():
            if not parameter.requires_grad:
                raise BrokenLawError(f"{name} is frozen; a constant is a buffer, not a parameter")
            _require_gradient(name, parameter)
            largest = parameter.grad.abs().max().item()  # pyright: ignore
            moved[name] = max(moved.get(name, 0.0), largest)
    typical = max(moved.values(), default=0.0)
    dead = [name for name, largest in moved.items() if largest <= 1e-7 * typical]
    if dead:
        raise BrokenLawError(f"the gradient of {', '.join(dead)} is zero")


@law("gradcheck", catches="a backward pass that is not the forward pass's derivative")
def gradients_right(subject: Subject) -> None:
    """Analytical against numerical derivatives in float64, of the input and every parameter."""
    module = subject.module(subject.small).double()
    x = subject.input(batch=2, channels=subject.small).double().requires_grad_()
    names = [name for name, p in module.named_parameters() if p.requires_grad]
    parameters = [p for p in module.parameters() if p.requires_grad]

    def forward(x: Tensor, *values: Tensor) -> Tensor:
        return functional_call(module, dict(zip(names, values, strict=True)), (x,))

    torch.manual_seed(0)
    try:
        gradcheck(forward, (x, *parameters), fast_mode=True)
    except Exception as error:
        text = str(error)
        which = next((n for i, n in enumerate(("the input", *names)) if f"input {i}" in text), "")
        reason = "; ".join(line.strip() for line in text.splitlines()[:3] if line.strip())
        raise BrokenLawError(f"{which}: {type(error).__name__}: {reason}".lstrip(": ")) from error


def _require_gradient(what: str, tensor: Tensor) -> None:
    if tensor.grad is None:
        raise BrokenLawError(f"{what} gets no gradient")
    if not torch.isfinite(tensor.grad).all():
        raise BrokenLawError(f"the gradient of {what} is not finite")
