"""Laws about gradients."""

from collections.abc import Callable

import torch
from torch import Tensor

from foveal.testing.gradients import outputs_and_gradients, require_same
from foveal.testing.law import BrokenLawError, law
from foveal.testing.subject import Subject

NOTHING = 1e-7
"""In parts of the largest gradient of any parameter: less is as good as zero."""
NOTHING_IN_A_MIX = 1e-12

OTHER_SEEDS = 1, 2, 3
"""Of stirring, tried where a gradient is zero."""


@law("learning", catches="dead layers, parameters made anew, gradients cut or not finite")
def every_parameter_learns(subject: Subject) -> None:
    """In train mode each parameter gets a finite gradient; in train or eval mode one that is not
    zero. (A convolution's bias before a batch normalisation learns nothing in train mode.) What the
    random values of one stirring shut off must be shut off by others as well.

    In a mix a bias may come to nothing where the next mechanism takes no notice of what is added
    everywhere, as a softmax over positions does: its zero is right where the result does not depend
    on it. All is measured in float64, where what of a mix is small is not yet rounding.
    """
    dead = _dead(subject, seed=0)
    for seed in OTHER_SEEDS if dead else ():
        dead &= _dead(subject, seed)
    if dead and subject.mixed:
        dead -= _without_effect(subject, dead)
    if dead:
        raise BrokenLawError(f"the gradient of {', '.join(sorted(dead))} is zero")


@torch.no_grad()
def _without_effect(subject: Subject, names: set[str]) -> set[str]:
    """Those of the parameters that are biases on which the result does not depend."""
    module, x = subject.module().double(), subject.input(batch=4).double()
    before, found = module(x), set()
    for name, parameter in module.named_parameters():
        if name in names and parameter.ndim == 1 and name.endswith("bias"):
            kept = parameter.clone()
            parameter += torch.ones_like(parameter)
            if torch.allclose(module(x), before, rtol=1e-9, atol=1e-12):
                found.add(name)
            parameter.copy_(kept)
    return found


def _dead(subject: Subject, seed: int) -> set[str]:
    """The parameters whose gradient is zero in both modes."""
    moved: dict[str, float] = {}
    for train in (True, False):
        module = subject.module(train=train, seed=seed).double()
        parameters = dict(module.named_parameters())
        x = subject.input(batch=4).double().requires_grad_()
        y = module(x * 1)  # not a leaf, as in a network
        y.backward(_normal(y, torch.Generator().manual_seed(3)))
        _require_gradient("the input", x)
        for name, parameter in parameters.items():
            if not parameter.requires_grad:
                raise BrokenLawError(f"{name} is frozen; a constant is a buffer, not a parameter")
            _require_gradient(name, parameter)
            largest = parameter.grad.abs().max().item()  # pyright: ignore
            moved[name] = max(moved.get(name, 0.0), largest)
    typical = max(moved.values(), default=0.0)
    nothing = (NOTHING_IN_A_MIX if subject.mixed else NOTHING) * typical
    return {name for name, largest in moved.items() if largest <= nothing}


@law("gradient_order", catches="a backward pass that takes the gradient's place in memory as given")
def gradients_in_any_order(subject: Subject) -> None:
    """Whatever stands behind a mechanism decides in what order the gradient's axes lie in memory,
    and whether it is one number repeated; the mechanism's own gradients do not depend on it."""
    for what, ordered in ORDERS.items():
        found = outputs_and_gradients(subject, ordered=ordered)
        wanted = outputs_and_gradients(subject, ordered=lambda g, o=ordered: _in_order(o(g)))
        require_same(found, wanted, f"for a gradient {what}")


def _in_order(x: Tensor) -> Tensor:
    """A copy with the last axis innermost."""
    return x.clone(memory_format=torch.contiguous_format)


ORDERS: dict[str, Callable[[Tensor], Tensor]] = {
    "with its second axis innermost": lambda g: _in_order(g.transpose(1, -1)).transpose(1, -1),
    "with its last two axes swapped": lambda g: _in_order(g.mT).mT,
    "that is one number": lambda g: g.flatten()[0].expand(g.shape),
}


@law("gradcheck", catches="a backward pass that is not the forward pass's derivative")
def gradients_right(subject: Subject) -> None:
    """Analytical against numerical derivatives in float64, for the input and for each parameter.

    Each is moved along a random direction, and along one without a negative step: the steps of a
    random one nearly cancel in a mean over the map, and what the mean feeds would go unchecked.
    """
    module = subject.module(subject.small).double()
    x = subject.input(channels=subject.small).double().requires_grad_()
    tensors = {"the input": x, **{n: p for n, p in module.named_parameters() if p.requires_grad}}
    generator = torch.Generator().manual_seed(3)
    pull = _normal(module(x).detach(), generator)

    def result() -> Tensor:
        return (module(x) * pull).sum()

    gradients = torch.autograd.grad(result(), list(tensors.values()), allow_unused=True)
    for (name, tensor), gradient in zip(tensors.items(), gradients, strict=True):
        gradient = torch.zeros_like(tensor) if gradient is None else gradient
        for direction in (_normal(tensor, generator), _normal(tensor, generator).abs()):
            _require_derivative(name, result, tensor, direction, (gradient * direction).sum())


STEPS = 1e-6, 1e-7, 1e-8
"""Of differences. One of a thousand rectified units may bend within the first step; a wrong
backward pass is wrong at all of them."""


def _require_derivative(
    name: str, result: Callable[[], Tensor], tensor: Tensor, direction: Tensor, analytical: Tensor
) -> None:
    found = []
    for step in STEPS:
        with torch.no_grad():
            here = tensor.clone()
            ahead, behind = (
                (tensor.copy_(here + sign * step * direction), result())[1] for sign in (1, -1)
            )
            tensor.copy_(here)
            numerical = (ahead - behind) / (2 * step)
        allowed = 1e-5 * max(abs(analytical), abs(numerical)) + 1e-7 * max(1, abs(ahead))
        if abs(analytical - numerical) <= allowed:
            return
        found.append(numerical)
    raise BrokenLawError(
        f"{name}: the backward pass gives a derivative of {analytical:.6g}, "
        f"differences of the forward pass give {found[0]:.6g}"
    )


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype)


def _require_gradient(what: str, tensor: Tensor) -> None:
    if tensor.grad is None:
        raise BrokenLawError(f"{what} gets no gradient")
    if not torch.isfinite(tensor.grad).all():
        raise BrokenLawError(f"the gradient of {what} is not finite")
