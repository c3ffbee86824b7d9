"""Laws about the numbers' type, size and place in memory."""

from typing import Any

import torch
from torch import Tensor, nn

from foveal.core.registry import attention_info, list_attentions
from foveal.testing.law import BrokenLawError, law, require_close, require_finite
from foveal.testing.subject import Subject

PRECISIONS = {torch.float64: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.03}
"""The relative distance from float32 that each type may have, over the whole output."""

LARGE = 1e4
"""What random inputs, of the size of 1, are multiplied by."""


@law("precision", catches="a type written into the code")
def precisions_agree(subject: Subject) -> None:
    module = subject.module()
    x = subject.input()
    with torch.no_grad():
        wanted = module(x)
        for dtype, tolerance in PRECISIONS.items():
            y = subject.module().to(dtype)(x.to(dtype))
            if y.dtype != dtype:
                raise BrokenLawError(f"{dtype} in gives {y.dtype} out")
            _require_near(y, wanted, tolerance, str(dtype))
        with torch.autocast("cpu", torch.bfloat16):
            y = module(x)
        _require_near(y, wanted, PRECISIONS[torch.bfloat16], "bfloat16 autocast")


@law("finite", catches="exp without the maximum taken off, division by a sum or a norm of zero")
def extremes_stay_finite(subject: Subject) -> None:
    """Inputs of ten thousand, and of nothing at all: a dead ReLU's map is exactly zero. The large
    input of a mix is as large as gives none of its mechanisms more than ten thousand."""
    for what, factor in (("large", _large(subject)), ("zero", 0.0)):
        module = subject.module()
        x = (subject.input() * factor).requires_grad_()
        y = module(x * 1)
        require_finite(y, f"the output for {what} inputs")
        y.backward(torch.ones_like(y))
        if x.grad is not None:
            require_finite(x.grad, f"the input's gradient for {what} inputs")
        for name, parameter in module.named_parameters():
            if parameter.grad is not None:
                require_finite(parameter.grad, f"the gradient of {name} for {what} inputs")


def _large(subject: Subject) -> float:
    """A factor for the input, 1e4 or a power of ten below it."""
    factor = LARGE
    while subject.mixed and factor > 1 and _largest_inside(subject, factor) > 10 * LARGE:
        factor /= 10
    return factor


@torch.no_grad()
def _largest_inside(subject: Subject, factor: float) -> float:
    """The largest value that any part of a mix is given."""
    largest = 0.0

    def note(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal largest
        largest = max(largest, inputs[0].abs().max().item())

    mechanisms = {attention_info(name).cls for name in list_attentions()}
    module = subject.module()
    for part in module.modules():
        if type(part) in mechanisms:
            part.register_forward_pre_hook(note)
    module(subject.input() * factor)
    return largest


@law("channels_last", catches="view on permuted memory")
def memory_order_ignored(subject: Subject) -> None:
    module = subject.module()
    x = subject.input()
    with torch.no_grad():
        wanted = module(x)
        swapped = x.mT.contiguous().mT  # the last two axes swapped in memory
        require_close(module(swapped), wanted, 5e-5, "an input that is not contiguous")
        if subject.layout == "map":
            last = x.contiguous(memory_format=torch.channels_last)
            require_close(module(last), wanted, 5e-5, "a channels-last input")
            module = module.to(memory_format=torch.channels_last)  # pyright: ignore
            require_close(module(last), wanted, 5e-5, "a channels-last module and input")


def _require_near(y: Tensor, wanted: Tensor, tolerance: float, what: str) -> None:
    if y.shape != wanted.shape:
        raise BrokenLawError(f"{what}: shape {tuple(y.shape)} instead of {tuple(wanted.shape)}")
    require_finite(y, f"the output in {what}")
    apart = ((y.double() - wanted.double()).norm() / wanted.double().norm()).item()
    if apart > tolerance:
        raise BrokenLawError(f"{what} is {apart:.1%} away from float32 (allowed: {tolerance:.1%})")
