"""The maps of several sizes that modules hand on: lists, tuples and mappings of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from foveal.surgery.example import default_example, placed, run_example, undisturbed
from foveal.surgery.hook import Inserted
from foveal.surgery.trace import trace

Change = Callable[[list[Tensor]], list[Tensor]]


@dataclass(frozen=True)
class PyramidPlace:
    """Several maps of one batch of pictures that a module takes or returns."""

    path: str
    position: str
    """`after` the module, which returns them; `before` it, which takes them."""
    channels: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    calls: int
    """How often the module runs in one forward pass."""


def find_pyramids(model: nn.Module, example_input: Any = None) -> list[PyramidPlace]:
    """Where in a model attention across levels can go, as one forward pass shows it.

    Args:
        model: any host; it is left as it is.
        example_input: as for `insert`.

    Raises:
        FovealError: if the forward pass fails, or the host cannot take new modules.

    >>> class Neck(nn.Module):
    ...     def forward(self, x):
    ...         return {"fine": x, "coarse": x[..., ::2, ::2]}
    >>> found = find_pyramids(nn.Sequential(nn.Conv2d(3, 8, 3), Neck()), torch.rand(1, 3, 10, 10))
    >>> [(place.path, place.position, place.sizes) for place in found]
    [('1', 'after', ((8, 8), (4, 4)))]
    """
    example = default_example(model) if example_input is None else example_input
    trace(model, example)  # says clearly what is wrong with host or example
    seen = maps_seen(model, example)
    return [
        PyramidPlace(
            path=path,
            position=position,
            channels=tuple(x.shape[1] for x in calls[0]),
            sizes=tuple((x.shape[2], x.shape[3]) for x in calls[0]),
            calls=len(calls),
        )
        for (path, position), calls in seen.items()
        if path
    ]


def maps_seen(model: nn.Module, example: Any) -> dict[tuple[str, str], list[list[Tensor]]]:
    """The maps that each module takes (`before`) and returns (`after`) in each of its runs, where
    there are several of them, by path and position."""
    seen: dict[tuple[str, str], list[list[Tensor]]] = {}

    def note(path: str, position: str, value: Any) -> None:
        maps = maps_in(value)
        if maps is not None:
            seen.setdefault((path, position), []).append([x.detach() for x in maps])

    handles = []
    ours = {part for m in model.modules() if isinstance(m, Inserted) for part in m.modules()}
    for path, module in model.named_modules():
        if module in ours or isinstance(module, torch.jit.ScriptModule):
            continue
        before = _noting(lambda args, kwargs, output, p=path: note(p, "before", (args, kwargs)))
        after = _noting(lambda args, kwargs, output, p=path: note(p, "after", output))
        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(module.register_forward_hook(after, with_kwargs=True))
    try:
        with undisturbed(model):
            run_example(model, placed(model, example))
    finally:
        for handle in handles:
            handle.remove()
    return seen


def maps_in(value: Any) -> list[Tensor] | None:
    """The maps of the first pyramid in a structure: the first list, tuple or mapping that holds two
    maps or more itself.

    >>> fine, coarse = torch.rand(1, 2, 8, 8), torch.rand(1, 2, 4, 4)
    >>> [x.shape[2] for x in maps_in((1, fine, {"a": fine, "b": coarse}))]
    [8, 4]
    """
    found: list[Tensor] = []

    def keep(maps: list[Tensor]) -> list[Tensor]:
        found.extend(maps)
        return maps

    return found if change_maps(value, keep) is not None else None


def change_maps(value: Any, change: Change) -> Any:
    """The same structure with the maps of its first pyramid changed; None if there is none."""
    if not isinstance(value, list | tuple | dict):
        return None
    keys = list(value) if isinstance(value, dict) else range(len(value))
    maps = [key for key in keys if _is_map(value[key])]
    if len(maps) > 1 and all(value[key].shape[0] == value[maps[0]].shape[0] for key in maps):
        changed = dict(zip(maps, change([value[key] for key in maps]), strict=True))
        return _with(value, changed)
    for key in keys:
        inner = change_maps(value[key], change)
        if inner is not None:
            return _with(value, {key: inner})
    return None


def _with(value: Any, changed: dict[Any, Any]) -> Any:
    """A copy of a list, tuple or mapping with some of its items changed."""
    if isinstance(value, dict):
        copy = value.copy()
        copy.update(changed)
        return copy
    items = [changed.get(i, item) for i, item in enumerate(value)]
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)


def _is_map(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4 and value.is_floating_point()


def _noting(note: Callable[[tuple, dict, Any], None]) -> Callable[..., None]:
    """A forward hook, before or after the module, that only looks."""

    def hook(module: nn.Module, args: tuple, kwargs: dict, output: Any = None) -> None:
        note(args, kwargs, output)

    return hook
