"""An inserted mechanism, and the hooks that apply it.

A hook holds no module, only the name of the child to look up in the module it is called for, so
that a deep copy or a loaded pickle of the host applies its own mechanism and not the original's.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from foveal.core.layout import OnChannelsLast, OnClips, OnFrames, OnMap, OnTokens

CHILD = "foveal_attention"
"""Name of the child that holds a mechanism; further ones at one place are numbered from 2."""


class Inserted(nn.Module):
    """A mechanism in its place: y + s·(m(x) − y) with a learned s, or m(x) alone.

    A checkpoint from before the insertion has nothing for this module; loading one leaves it as it
    is, also with `strict=True`. A checkpoint that holds some of its keys and not others is refused.

    Args:
        attention: the mechanism, in an adapter where the host speaks another layout.
        strength: the learned s at birth; None for m(x) alone.
        entry: the plan of this insertion, as `save_insertion` writes it.
    """

    __jit_unused_properties__ = ("mechanism",)
    strength: nn.Parameter | None

    def __init__(self, attention: nn.Module, strength: float | None, entry: dict[str, Any]):
        super().__init__()
        self.attention = attention
        learned = None if strength is None else nn.Parameter(torch.full((1,), strength))
        self.register_parameter("strength", learned)
        self.enabled = True
        self.entry = entry

    @property
    def mechanism(self) -> nn.Module:
        """The mechanism itself, out of its adapter."""
        inner = self.attention
        while isinstance(inner, OnMap | OnTokens | OnChannelsLast | OnFrames | OnClips):
            inner = inner.mechanism
        return inner

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """What the mechanism makes of `x`, blended into `y`, the value that it stands in for."""
        m = self.attention(x)
        strength = self.strength  # TorchScript narrows the type of a local name only
        if strength is not None:
            m = y + strength[0] * (m - y)
        return m.to(y.dtype)

    @torch.jit.unused
    def change_output(self, output: Any) -> Any:
        """What a module returned, changed by a mechanism that takes it."""
        return change_first(output, lambda y: self(y, y))

    @torch.jit.unused
    def change_call(
        self, args: tuple, kwargs: dict[str, Any], item: int = 0
    ) -> tuple[tuple, dict[str, Any]]:
        """What a module is given, changed by a mechanism that takes it, or one tensor of it."""
        return change_given(args, kwargs, self, item)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        if not any(key.startswith(prefix) for key in state_dict):
            own = self.state_dict(prefix=prefix, keep_vars=True)
            state_dict.update(own)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        return f"{self.entry['position']}, enabled={self.enabled}"


class Hook:
    """Finds the inserted child of the module it is called for.

    Args:
        name: the child's name.
        holder: names leading from the module to the one that holds the child, empty unless the
            module runs whatever it holds.
    """

    def __init__(self, name: str, holder: tuple[str, ...] = ()):
        self.name = name
        self.holder = holder

    def holding(self, module: nn.Module) -> nn.Module:
        for part in self.holder:
            module = getattr(module, part)
        return module

    def inserted(self, module: nn.Module) -> Inserted:
        return getattr(self.holding(module), self.name)


class After(Hook):
    """Forward hook: the mechanism takes what the module returns."""

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        inserted = self.inserted(module)
        if not inserted.enabled:
            return None
        return inserted.change_output(output)


class Before(Hook):
    """Forward pre-hook: the mechanism takes what the module is given.

    Args:
        name, holder: as for every hook.
        item: which of the tensors given, for a module that takes a list of them.
    """

    def __init__(self, name: str, holder: tuple[str, ...] = (), item: int = 0):
        super().__init__(name, holder)
        self.item = item

    def __call__(self, module: nn.Module, args: tuple, kwargs: dict) -> Any:
        inserted = self.inserted(module)
        if not inserted.enabled:
            return None
        return inserted.change_call(args, kwargs, self.item)


class Beside(Hook):
    """Forward hook: the mechanism takes what the module is given, and is blended with what it
    returns."""

    def __call__(self, module: nn.Module, args: tuple, kwargs: dict, output: Any) -> Any:
        inserted = self.inserted(module)
        if not inserted.enabled:
            return None
        x = first_given(args, kwargs)
        return change_first(output, lambda y: inserted(x, y))


class Instead(Hook):
    """Stands as the module's own `forward`: the mechanism runs, the module's computation does not.

    The module's parameters stay where they are. They take no gradient while they are not run, so
    that neither weight decay nor an all-reduce over processes waits for them.

    Args:
        module: the module replaced.
        name, holder: as for every hook.
        outputs: how many values the module returns, if a tuple; those after the first are None.
        idle: names of the parameters that take no gradient meanwhile.
    """

    def __init__(
        self,
        module: nn.Module,
        name: str,
        holder: tuple[str, ...],
        outputs: int | None,
        idle: tuple[str, ...],
    ):
        super().__init__(name, holder)
        self.module = module
        self.outputs = outputs
        self.idle = idle

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inserted = self.inserted(self.module)
        if not inserted.enabled:
            return type(self.module).forward(self.module, *args, **kwargs)
        x = first_given(args, kwargs)
        y = inserted(x, x)
        return y if self.outputs is None else (y, *[None] * (self.outputs - 1))

    def let_learn(self, on: bool) -> None:
        """Whether the parameters of the module replaced take a gradient."""
        for name in self.idle:
            self.module.get_parameter(name).requires_grad_(on)


def change_first(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same structure with its first tensor changed.

    >>> change_first((torch.ones(1), None), lambda x: x + 1)
    (tensor([2.]), None)
    """
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        copy = value.copy()
        for key, item in value.items():
            if _holds_tensor(item):
                copy[key] = change_first(item, change)
                break
        return copy
    items = list(value)
    for i, item in enumerate(items):
        if _holds_tensor(item):
            items[i] = change_first(item, change)
            break
    if hasattr(value, "_fields"):  # a named tuple
        return type(value)(*items)
    return type(value)(items)


def change_given(
    args: tuple, kwargs: dict[str, Any], inserted: Inserted, item: int = 0
) -> tuple[tuple, dict]:
    """The arguments of a call with one tensor changed, also where it is given again:
    self-attention is given the same tensor as query, key and value."""
    if item:
        return change_one(args, item, lambda x: inserted(x, x)), kwargs
    x = first_given(args, kwargs)
    y = inserted(x, x)
    if args and not isinstance(args[0], Tensor):  # inside a list or a mapping
        return change_first(args, lambda _: y), kwargs
    return (
        tuple(y if value is x else value for value in args),
        {name: y if value is x else value for name, value in kwargs.items()},
    )


def change_one(value: Any, item: int, change: Callable[[Tensor], Tensor]) -> Any:
    """Nested tuples and lists with the tensor of that number changed.

    >>> change_one(([torch.ones(1), torch.ones(1)],), 1, lambda x: x + 1)
    ([tensor([1.]), tensor([2.])],)
    """
    count = -1

    def walk(part: Any) -> Any:
        nonlocal count
        if isinstance(part, Tensor):
            count += 1
            return change(part) if count == item else part
        return type(part)(walk(inner) for inner in part) if isinstance(part, tuple | list) else part

    return walk(value)


def first_given(args: Any, kwargs: dict[str, Any]) -> Tensor:
    """The first tensor among the arguments of a call."""
    return _first(args if args else kwargs)


def _first(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    items = value.values() if isinstance(value, dict) else value
    return _first(next(item for item in items if _holds_tensor(item)))


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, Tensor):
        return True
    if isinstance(value, dict):
        return any(_holds_tensor(item) for item in value.values())
    return isinstance(value, tuple | list) and any(_holds_tensor(item) for item in value)
