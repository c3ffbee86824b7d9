"""Floating-point operations by two counters that share nothing.

PyTorch's own counter knows a list of kernels by heart and passes over every other; ours counts what
the layers compute. Where they agree, the number can be believed; where they do not, both are shown
with the operations that make the difference.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from foveal.measure.operations import Operations, count_operations
from foveal.measure.state import ExampleInput, call, undisturbed


@dataclass(frozen=True)
class FlopCount:
    """FLOPs of a forward pass: two for each product term of convolutions, matrix products and
    attention. Everything elementwise is left out, as is the custom; `count_multiply_adds` has it.
    """

    torch: int
    """What `torch.utils.flop_counter` counts."""
    foveal: int
    """What Foveal counts."""
    agree: bool
    note: str
    """Empty, or which operations the counters differ on or pass over."""


def count_flops(model: nn.Module, example_input: ExampleInput) -> FlopCount:
    """FLOPs of one forward pass in evaluation mode, by both counters.

    Raises:
        FovealError: if the model cannot run on the input.

    >>> count_flops(nn.Linear(4, 5), torch.zeros(2, 4))
    FlopCount(torch=80, foveal=80, agree=True, note='')
    """
    return compare_flops(torch_counts(model, example_input), count_operations(model, example_input))


def compare_flops(by_torch: Counter[str], operations: Operations) -> FlopCount:
    """Both totals, and in words where they come apart.

    >>> compare_flops(Counter(mm=40), Operations(products=Counter(mm=20, mv=5))).note
    'mv: torch 0, foveal 10'
    """
    ours = Counter[str]()
    for name, products in operations.products.items():
        ours[_kind(name)] += 2 * products
    theirs = Counter[str]()
    for name, flops in by_torch.items():
        theirs[_kind(name)] += flops
    agree = ours.total() == theirs.total()
    notes = []
    if not agree:
        notes += [
            f"{name}: torch {theirs[name]}, foveal {ours[name]}"
            for name in sorted(ours.keys() | theirs.keys())
            if ours[name] != theirs[name]
        ]
    if operations.unknown:
        notes.append(f"neither counts {', '.join(sorted(operations.unknown))}")
    return FlopCount(theirs.total(), ours.total(), agree, "; ".join(notes))


def torch_counts(model: nn.Module, example_input: ExampleInput) -> Counter[str]:
    """FLOPs by operation, as `torch.utils.flop_counter` counts them.

    Raises:
        FovealError: if the model cannot run on the input.

    >>> torch_counts(nn.Linear(4, 5), torch.zeros(2, 4))
    Counter({'addmm': 80})
    """
    counter = FlopCounterMode(display=False)
    with undisturbed(model, training=False), _frozen(model), torch.no_grad(), counter:
        call(model, example_input)
    counts = counter.get_flop_counts().get("Global", {})  # missing when nothing was counted
    return Counter({_name(operation): flops for operation, flops in counts.items()})


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """No parameter requires gradients: PyTorch's counter hooks into those it sees, and fails where
    a module is handed a view of a parameter, as CaiT's class token is.
    """
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def _name(operation: Any) -> str:
    return getattr(operation, "__name__", str(operation))


def _kind(name: str) -> str:
    """The kernels of attention and of convolution have one name each, whoever provides them."""
    for kind in ("scaled_dot_product", "convolution"):
        if kind in name:
            return kind
    return name
