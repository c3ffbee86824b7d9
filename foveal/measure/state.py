"""Running a model to look at it, and leaving it as it was found."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from foveal.core.errors import FovealError

ExampleInput = Tensor | Sequence[Any] | Mapping[str, Any]
"""A tensor, or the positional arguments, or the keyword arguments of the model's `forward`."""


def call(model: nn.Module, example_input: ExampleInput) -> Any:
    """The model's output on an example.

    Raises:
        FovealError: if the model cannot run on that input; the message has the model's own words.

    >>> call(nn.Linear(3, 2), torch.zeros(1, 3)).shape
    torch.Size([1, 2])
    """
    if not isinstance(example_input, Tensor | Mapping | tuple | list):
        raise FovealError(
            f"example_input={example_input!r} must be a tensor, a tuple of positional arguments "
            "or a dict of keyword arguments"
        )
    with said_plainly(f"{type(model).__name__} cannot run on {describe(example_input)}"):
        if isinstance(example_input, Tensor):
            return model(example_input)
        if isinstance(example_input, Mapping):
            return model(**example_input)
        return model(*example_input)


@contextmanager
def said_plainly(what: str) -> Iterator[None]:
    """Turn whatever a user's model raises into one line that begins with `what`.

    >>> with said_plainly("Model cannot run on 3"):
    ...     raise TypeError("wants a tensor")
    Traceback (most recent call last):
    foveal.core.errors.FovealError: Model cannot run on 3: TypeError: wants a tensor
    """
    try:
        yield
    except FovealError:
        raise
    except Exception as error:  # a model may raise anything
        words = " ".join(str(error).split())[:500]
        raise FovealError(f"{what}: {type(error).__name__}: {words}") from error


def describe(example_input: Any) -> str:
    """An input in words, for messages.

    >>> describe((torch.zeros(1, 3), 7))
    '(tensor of shape (1, 3), 7)'
    """
    if isinstance(example_input, Tensor):
        return f"tensor of shape {tuple(example_input.shape)}"
    if isinstance(example_input, Mapping):
        return "{" + ", ".join(f"{k}: {describe(v)}" for k, v in example_input.items()) + "}"
    if isinstance(example_input, tuple | list):
        return "(" + ", ".join(map(describe, example_input)) + ")"
    return repr(example_input)


@contextmanager
def undisturbed(model: nn.Module, training: bool) -> Iterator[None]:
    """Set the model to train or eval, and afterwards put back all that a pass may have changed.

    That is every module's training flag, the buffers (running statistics), the parameters'
    gradients and the state of the random number generators.

    Raises:
        FovealError: if the model has lazy parameters, which the first pass would settle for good.
    """
    if any(isinstance(p, UninitializedParameter) for p in model.parameters()):
        raise FovealError(
            f"{type(model).__name__} has lazy parameters without a shape; call it once before"
        )
    flags = [(module, module.training) for module in model.modules()]
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    for parameter, _ in gradients:
        parameter.grad = None
    cuda = sorted({p.device.index or 0 for p, _ in gradients if p.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices=cuda):
            model.train(training)
            yield
    finally:
        for module, flag in flags:
            module.training = flag
        with torch.no_grad():
            for module, name, buffer, value in buffers:
                buffer.copy_(value)
                module._buffers[name] = buffer
        for parameter, gradient in gradients:
            parameter.grad = gradient
