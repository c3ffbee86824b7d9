"""How many multiply-adds a forward pass takes, counted operation by operation as it runs.

`rules.py` has one rule per family of operations; an operation that computes and has no rule is not
free but recorded under `unknown`. Where PyTorch may run one function by different kernels (scaled
dot-product attention, the fast path of `nn.MultiheadAttention`), one way is fixed, so that the
count does not depend on the machine.
"""

import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from foveal.measure.rules import FREE, PRODUCTS, RULES, attention_products, size_of
from foveal.measure.state import ExampleInput, call, undisturbed


@dataclass
class Operations:
    """What a forward pass computes."""

    by_operation: Counter[str] = field(default_factory=Counter)
    """Multiply-adds by the operation's name."""
    products: Counter[str] = field(default_factory=Counter)
    """Of these, the product terms of convolutions, matrix products and attention."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Calls of operations that compute something and that no rule counts."""

    @property
    def multiply_adds(self) -> int:
        return sum(self.by_operation.values())


def count_multiply_adds(model: nn.Module, example_input: ExampleInput) -> int:
    """Multiply-adds of one forward pass in evaluation mode.

    One per scalar product term of convolutions, matrix products and attention; one per element of
    elementwise arithmetic; one per input element of a sum or mean, two of a variance or norm; four
    per element of a normalisation by the input's own statistics, one by stored ones; two per
    element of a softmax that is not inside scaled dot-product attention. Comparisons, activations,
    roots, exponentials, copies and bias additions are not counted.

    Args:
        model: any module; it may be on the meta device, where nothing is computed.
        example_input: a tensor, or a tuple of positional or a dict of keyword arguments.

    Raises:
        FovealError: if the model cannot run on the input.

    Warns:
        UserWarning: if the model uses operations that are not counted; they are named.

    >>> count_multiply_adds(nn.Conv2d(3, 8, 3, padding=1), torch.zeros(1, 3, 10, 10)) == 27 * 800
    True
    """
    operations = count_operations(model, example_input)
    if operations.unknown:
        names = ", ".join(sorted(operations.unknown))
        warnings.warn(f"not counted, for no rule is known: {names}", stacklevel=2)
    return operations.multiply_adds


def count_operations(model: nn.Module, example_input: ExampleInput) -> Operations:
    """The multiply-adds of one forward pass by operation, and what could not be counted.

    Raises:
        FovealError: if the model cannot run on the input.

    >>> count_operations(nn.Linear(4, 5), torch.zeros(2, 4)).by_operation
    Counter({'addmm': 40})
    """
    counter = _Counter()
    fast_path = torch.backends.mha.get_fastpath_enabled()
    # One fused kernel would hide what the layer computes.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with undisturbed(model, training=False), torch.no_grad(), counter, _Attention(counter):
            call(model, example_input)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    return counter.operations


class _Counter(TorchDispatchMode):
    """Applies the rules to every operation that runs."""

    def __init__(self):
        super().__init__()
        self.operations = Operations()
        self.paused = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not self.paused:
            self.add(func, args, kwargs, result)
        return result

    def add(self, func: Any, args: tuple, kwargs: dict, result: Any) -> None:
        name = func.overloadpacket.__name__.removesuffix("_")
        if func.namespace == "aten" and name in PRODUCTS:
            products = round(PRODUCTS[name](args, kwargs, result))
            self.operations.products[name] += products
            self.operations.by_operation[name] += products
        elif func.namespace == "aten" and name in RULES:
            self.operations.by_operation[name] += round(RULES[name](args, kwargs, result))
        elif not _is_free(func, name, result):
            self.operations.unknown[str(func.overloadpacket)] += 1


class _Attention(TorchFunctionMode):
    """Counts scaled dot-product attention as such, whichever kernel then runs."""

    def __init__(self, counter: _Counter):
        super().__init__()
        self.counter = counter

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention or self.counter.paused:
            return func(*args, **kwargs)
        named = dict(zip(("query", "key", "value"), args, strict=False)) | kwargs
        self.counter.paused = True
        try:
            result = func(*args, **kwargs)
        finally:
            self.counter.paused = False
        products = attention_products((named["query"], named["key"], named["value"]), {}, result)
        self.counter.operations.products["scaled_dot_product_attention"] += products
        self.counter.operations.by_operation["scaled_dot_product_attention"] += products
        return result


def _is_free(func: Any, name: str, result: Any) -> bool:
    if func.namespace == "prim" or (func.namespace == "aten" and name in FREE):
        return True
    returns = func._schema.returns
    view = bool(returns) and all(r.alias_info and not r.alias_info.is_write for r in returns)
    return view or size_of(result) == 0  # nothing computed: a shape, a flag
