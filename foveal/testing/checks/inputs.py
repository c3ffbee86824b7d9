"""Laws about the inputs of a mechanism that needs more than one."""

from collections.abc import Iterator

import torch
from torch import Tensor

from foveal.core.errors import FovealError
from foveal.testing.law import BrokenLawError, law, require_finite
from foveal.testing.subject import Subject

Inputs = dict[str, Tensor | list[Tensor]]


@law("inputs", kind="several", catches="an input cut off or written into, sizes tied together")
def every_input_counts(subject: Subject) -> None:
    """Each input gets a gradient and stays as it was; each may have a size of its own, or the
    mechanism says why not; and one that is absent is named."""
    mechanism = subject.mechanism(subject.module())
    inputs = _inputs(subject)
    leaves = [t for value in inputs.values() for t in _tensors(value)]
    before = [t.detach().clone() for t in leaves]
    for leaf in leaves:
        leaf.requires_grad_()
    y = mechanism(*inputs.values())
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(3)))
    for name, value in inputs.items():
        for tensor in _tensors(value):
            if tensor.grad is None or not tensor.grad.abs().max() > 0:
                raise BrokenLawError(f"{name} gets no gradient")
            require_finite(tensor.grad, f"the gradient of {name}")
    if not all(torch.equal(t, b) for t, b in zip(leaves, before, strict=True)):
        raise BrokenLawError("forward changes one of its inputs")
    _require_free_sizes(subject)
    _require_names(subject)


def _inputs(subject: Subject) -> Inputs:
    module, x = subject.module(), subject.input()
    values = [x, *module.others(x)]  # pyright: ignore
    return dict(zip(subject.inputs, values, strict=True))


def _tensors(value: Tensor | list[Tensor]) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else value


def _require_free_sizes(subject: Subject) -> None:
    """A further input of another size, the first as it was."""
    mechanism, inputs = subject.mechanism(subject.module()), _inputs(subject)
    x = subject.input()
    for name, other in _resized(subject, inputs):
        try:
            with torch.no_grad():
                y = mechanism(**{**inputs, name: other})
        except FovealError:  # it says why
            continue
        except Exception as error:
            reason = f"{type(error).__name__}: {(str(error) or 'no message').splitlines()[0]}"
            raise BrokenLawError(f"{name} in another size: {reason}") from error
        if not subject.fits(mechanism, x, y):
            raise BrokenLawError(f"{name} in another size gives {tuple(y.shape)}")


def _resized(subject: Subject, inputs: Inputs) -> Iterator[tuple[str, Tensor | list[Tensor]]]:
    for name, layout in list(subject.inputs.items())[1:]:
        value = inputs[name]
        if layout == "tokens":
            yield name, torch.cat((value, value), dim=1)  # pyright: ignore
        elif layout == "maps":
            yield name, [one.repeat(1, 1, 1, 2) for one in value]
        elif layout != "points":
            yield name, torch.cat((value, value), dim=-1)  # pyright: ignore


def _require_names(subject: Subject) -> None:
    mechanism, inputs = subject.mechanism(subject.module()), _inputs(subject)
    for name in inputs if subject.card else ():  # the registry is what checks inputs
        rest = {other: value for other, value in inputs.items() if other != name}
        try:
            mechanism(**rest)
        except FovealError as error:
            if name not in str(error):
                raise BrokenLawError(f"without {name} it is not named: {error}") from error
        else:
            raise BrokenLawError(f"without {name} nothing is said")
