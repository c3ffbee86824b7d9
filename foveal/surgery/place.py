"""From the modules that are meant to the modules that a hook goes on."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from foveal.core.errors import FovealError
from foveal.surgery.feature import Feature
from foveal.surgery.hook import CHILD
from foveal.surgery.roles import is_container, residual_ends
from foveal.surgery.trace import Call, Trace
from foveal.surgery.where import Chosen

POSITIONS = ("after", "before", "replace", "inside_residual")


@dataclass(frozen=True)
class Spot:
    """A module that a hook goes on, and what the mechanism will meet there."""

    path: str
    module: nn.Module = field(repr=False)
    holder: tuple[str, ...]
    """Names leading from the module to the one that holds the mechanism; empty for itself."""
    position: str
    feature: Feature
    outputs: int | None
    """For `replace`: how many values the module returns, if it returns a tuple."""
    simple: bool
    """Whether the module takes one tensor and returns one."""
    calls: int
    item: int = 0
    """For `before`: which of the tensors that the module is given."""


class UnfitError(FovealError):
    """A module that a mechanism cannot go to."""


def spots(chosen: Chosen, position: str, traced: Trace) -> tuple[list[Spot], dict[str, str]]:
    """Where the hooks go, and the modules passed over with the reason.

    A module found by a pattern that does not fit is passed over; one named by its path, or nothing
    at all that fits, is an error.
    """
    found: dict[str, Spot] = {}
    skipped: dict[str, str] = {}
    for path in chosen.paths:
        try:
            for spot in _spots_at(path, position, traced):
                found.setdefault(spot.path, spot)
        except UnfitError as error:
            if path in chosen.named:
                raise
            skipped[path] = str(error)
    if not found:
        path, reason = next(iter(skipped.items()))
        others = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
        raise FovealError(f"none of the places fits: {reason}{others}")
    return list(found.values()), skipped


def _spots_at(path: str, position: str, traced: Trace) -> list[Spot]:
    if position != "inside_residual":
        return [spot_at(path, position, traced)]
    ends = residual_ends(traced, _last_element(path, traced))
    if not ends:
        raise UnfitError(
            f"{path} adds nothing to a shortcut, so there is no residual branch in it; "
            "use position='after'"
        )
    return [spot_at(end, "after", traced) for end in ends]


def spot_at(path: str, position: str, traced: Trace, item: int = 0) -> Spot:
    """The spot of a module, or the reason why it is none."""
    if position == "after":
        path = _last_element(path, traced)
    elif position == "before":
        path = _first_element(path, traced)
    calls = traced.calls.get(path)
    if not calls:
        raise UnfitError(f"{path} is never called in the forward pass")
    call = calls[0]
    if position == "after":
        handled = [c.output for c in calls]
    else:
        handled = [c.inputs[item] if item < len(c.inputs) else None for c in calls]
    feature = _common(path, handled)
    outputs = None
    if position == "replace":
        output = _common(path, [c.output for c in calls])
        if output.shape != feature.shape or output.like != feature.like:
            raise UnfitError(
                f"{path} makes {output.shape} of {feature.shape}; a mechanism keeps the shape, so "
                "it can replace only a module that keeps it too"
            )
        outputs = _outputs(path, calls)
    holder = holder_of(call.module, path)
    simple = all(c.simple for c in calls)
    return Spot(path, call.module, holder, position, feature, outputs, simple, len(calls), item)


def _common(path: str, features: list[Feature | None]) -> Feature:
    """The feature that a module handles, the same in each of its runs."""
    first = features[0]
    if first is None:
        raise UnfitError(f"{path} handles no tensor")
    if first.layout is None:
        raise UnfitError(
            f"{path} handles a tensor of shape {first.shape}, which is not a map (B, C, H, W) or "
            "(B, H, W, C) nor tokens (B, N, C) nor a clip (B, C, T, H, W), or it cannot be told "
            "which axis holds the channels"
        )
    different = [f for f in features if f is None or f.like != first.like]
    if different:
        other = different[0].shape if different[0] else None
        raise UnfitError(
            f"{path} runs {len(features)} times in one forward pass on different things "
            f"({first.shape} and {other}), which one mechanism cannot serve"
        )
    return first


def _outputs(path: str, calls: list[Call]) -> int | None:
    call = calls[0]
    given = next((c.others for c in calls if c.others), ())
    if given:
        raise UnfitError(
            f"{path} is given further tensors (argument {', '.join(given)}), such as a mask, that "
            "the mechanism in its stead would ignore; use position='after'"
        )
    if call.kind == "tensor":
        return None
    if call.kind.startswith("tuple of"):
        return int(call.kind.split()[2].rstrip(","))
    raise UnfitError(f"{path} returns a {call.kind} of several values, which nothing can replace")


def _last_element(path: str, traced: Trace) -> str:
    """For a sequence that returns what its last element returns, that element, recursively: a
    sequence runs whatever it holds, so that it cannot hold a mechanism itself."""
    calls = traced.calls.get(path, [])
    if not calls or not is_container(calls[0].module) or not calls[0].children:
        return path
    lasts = [call.children[-1] for call in calls if call.children]
    last = lasts[0].path
    same = all(c.returned is e.returned for c, e in zip(calls, lasts, strict=False))
    if same and len(lasts) == len(calls) == len(traced.calls[last]):
        return _last_element(last, traced)
    return path


def _first_element(path: str, traced: Trace) -> str:
    """The same for what goes into a sequence."""
    calls = traced.calls.get(path, [])
    if not calls or not is_container(calls[0].module) or not calls[0].children:
        return path
    firsts = [call.children[0] for call in calls if call.children]
    first = firsts[0].path
    same = all(c.taken is e.taken for c, e in zip(calls, firsts, strict=False))
    if same and len(firsts) == len(calls) == len(traced.calls[first]):
        return _first_element(first, traced)
    return path


def holder_of(module: nn.Module, path: str) -> tuple[str, ...]:
    """What holds the mechanism of a module that runs its children: the last leaf inside it."""
    if not is_container(module):
        return ()
    for name, inner in reversed(list(module.named_modules())):
        parts = tuple(name.split("."))
        ours = any(part.startswith(CHILD) for part in parts)
        if name and not ours and not is_container(inner) and not any(inner.children()):
            return parts
    raise UnfitError(f"{path} is an empty {type(module).__name__}; choose the module before it")
