"""Operations as the tools that papers count with define them.

Most papers take their FLOPs from thop or ptflops, which count one for a product and its sum, like
Foveal, but add a sum of their own choice for whatever layers are not convolutions. Here the terms
are kept apart, and `RULES` adds them up as each tool does.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from foveal.measure import count_multiply_adds
from foveal.measure.rules import PRODUCTS, size_of


class Terms(TorchDispatchMode):
    """Counts what runs under it, term by term."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__.removesuffix("_")
        found, size = self.found, size_of(result)
        if "convolution" in name:
            found["conv"] += round(PRODUCTS[name](args, kwargs, result))
            found["conv_bias"] += size if args[2] is not None else 0
        elif name in ("addmm", "mm", "linear"):
            found["linear"] += round(PRODUCTS[name](args, kwargs, result))
        elif name in PRODUCTS:
            found["matmul"] += round(PRODUCTS[name](args, kwargs, result))
        elif "batch_norm" in name:
            found["norm"] += size
        elif name in ("relu", "hardtanh"):
            found["relu"] += size
        elif "max_pool" in name or (name == "amax" and _is_over_the_map(args)):
            found["max_pool_in"] += size_of(args[0])
        elif "avg_pool" in name or (name == "mean" and _is_over_the_map(args)):
            found["avg_pool_in"] += size_of(args[0])
            found["avg_pool_out"] += size
        return result


def _is_over_the_map(args: tuple) -> bool:
    """Whether a reduction is what a layer would do that pools a map to one position."""
    x, axes = args[0], args[1] if len(args) > 1 else ()
    return isinstance(x, Tensor) and x.ndim == 4 and {axis % 4 for axis in axes} == {2, 3}


def _weighted(**weights: int) -> Callable[[Counter[str]], int]:
    return lambda terms: sum(weight * terms[term] for term, weight in weights.items())


RULES = {
    "products": _weighted(conv=1, linear=1, matmul=1),
    # count_hooks.py of Lyken17/pytorch-OpCounter at f1556f7
    "thop of 2019": _weighted(
        conv=1, conv_bias=1, linear=2, norm=4, relu=1, avg_pool_in=1, avg_pool_out=1
    ),
    # vision/basic_hooks.py at 05fe619
    "thop": _weighted(conv=1, conv_bias=1, linear=1, norm=2, avg_pool_in=1, avg_pool_out=1),
    "thop without pooling": _weighted(conv=1, conv_bias=1, linear=1, norm=2),
    # classification/flops_counter.py of implus/PytorchInsight at 2864528
    "ptflops": _weighted(
        conv=1, conv_bias=1, linear=1, norm=2, relu=1, max_pool_in=1, avg_pool_in=1
    ),
}
"""From the terms of a forward pass, what each tool prints."""


def count(model: nn.Module, rule: str, size: int = 224) -> int:
    """Operations of a model on the meta device for one square image; `foveal` is our own count."""
    x = torch.empty(1, 3, size, size, device="meta")
    if rule == "foveal":
        return count_multiply_adds(model, x)
    terms = Terms()
    with torch.no_grad(), terms:
        model(x)
    return RULES[rule](terms.found)


def all_counts(model: nn.Module, size: int = 224) -> dict[str, Any]:
    """The count by every rule."""
    return {rule: count(model, rule, size) for rule in ["foveal", *RULES]}
