"""Laws about what goes in and what comes out."""

import torch
from torch import nn

from foveal.core.errors import FovealError
from foveal.testing.law import BrokenLawError, NotCheckedError, law, require_finite
from foveal.testing.subject import CHANNELS, Subject

SIZES = (8, 8), (7, 7), (6, 9), (16, 4), (1, 1)
SMALL = 8, 20


@law("shape", catches="square-only, even-only, one pixel, silent broadcast, NaN at one value")
def shape_and_dtype_kept(subject: Subject) -> None:
    """At every size, in eval mode with two images and in train mode with one."""
    faults = []
    for train, batch in ((False, 2), (True, 1)):
        module = subject.module(train=train)
        for height, width in SIZES:
            x = subject.input((height, width), batch=batch)
            fault = _shape_fault(subject, module, x)
            if fault:
                mode = "train" if train else "eval"
                faults.append(f"{height}×{width}, B={batch}, {mode} mode: {fault}")
    if faults:
        raise BrokenLawError("; ".join(faults))


@law("channels", catches="hidden = C // r = 0, divisibility that nobody checks")
def few_channels(subject: Subject) -> None:
    """Few channels, or a number that is no power of two, work or are refused by name."""
    faults = []
    for channels in SMALL:
        try:
            module = subject.module(channels)
        except ValueError as error:
            if str(channels) not in str(error):
                faults.append(f"C={channels} is refused without naming it: {_one_line(error)}")
            continue
        except Exception as error:
            faults.append(f"C={channels} cannot be built: {_one_line(error)}")
            continue
        empty = [name for name, p in module.named_parameters() if p.numel() == 0]
        if empty:
            faults.append(f"C={channels} gives {', '.join(empty)} no numbers")
            continue
        fault = _shape_fault(subject, module, subject.input(channels=channels))
        if fault:
            faults.append(f"C={channels}: {fault}")
    if faults:
        raise BrokenLawError("; ".join(faults))


@law("refusal", catches="wrong rank, type or channels taken silently, or refused in riddles")
def bad_input_refused(subject: Subject) -> None:
    if subject.card is None:
        raise NotCheckedError("not registered; the registry is what checks inputs")
    module = subject.module()
    good, *others = subject.example(module, subject.input())
    module = subject.mechanism(module)
    channel = 1 if subject.layout == "map" else 2
    bad = {
        "an input with an axis too few": (good[0], "shape"),
        "an input with an axis too many": (good[None], "shape"),
        "whole numbers": (good.long(), "int64"),
        "a channel too few": (good.narrow(channel, 0, CHANNELS - 1), str(CHANNELS - 1)),
        "one channel": (good.narrow(channel, 0, 1), str(CHANNELS)),
    }
    faults = []
    for what, (x, named) in bad.items():
        try:
            module(x, *others)
        except FovealError as error:
            if named not in str(error):
                faults.append(f"{what}: the message does not say {named}: {_one_line(error)}")
        except Exception as error:
            faults.append(f"{what}: {_one_line(error)}, instead of a FovealError that says why")
        else:
            faults.append(f"{what} is taken")
    if faults:
        raise BrokenLawError("; ".join(faults))


@law("input_untouched", catches="writing into the input, also through a view")
def input_untouched(subject: Subject) -> None:
    for train in (False, True):
        module = subject.module(train=train)
        x = subject.input()
        before = x.clone()
        with torch.no_grad():
            module(x)
        if not torch.equal(x, before):
            changed = (x != before).float().mean().item()
            raise BrokenLawError(f"forward changes {changed:.0%} of its input's values")


def _shape_fault(subject: Subject, module: nn.Module, x: torch.Tensor) -> str | None:
    try:
        with torch.no_grad():
            y = module(x)
        if not subject.fits(module, x, y):
            return f"shape {tuple(y.shape)} from {tuple(x.shape)}"
        if y.dtype != x.dtype:
            return f"{y.dtype} from {x.dtype}"
        require_finite(y, "the output")
    except Exception as error:
        return _one_line(error)
    return None


def _one_line(error: Exception) -> str:
    if isinstance(error, BrokenLawError):
        return str(error)
    return f"{type(error).__name__}: {(str(error) or 'no message').splitlines()[0]}"
