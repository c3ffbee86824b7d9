"""The places that a YOLO user thinks in, found in any network that ultralytics builds.

`backbone.p3|p4|p5`: the backbone's last layer at stride 8, 16, 32; `backbone.lastN`: its last N
such ends; `sppf`: the spatial pyramid pooling; `neck.out`: the layers whose outputs the head takes,
which the neck goes on using too; `head.in`: the same values on their way into the head alone;
`every_c2f`: every layer that is a C2f or does its work in another family; a layer's number, 4 or
"4", from the end if negative.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from foveal.core.errors import FovealError, did_you_mean
from foveal.surgery.place import Spot, UnfitError, spot_at
from foveal.surgery.place import spots as general_spots
from foveal.surgery.roles import residual_ends
from foveal.surgery.trace import Call, Trace
from foveal.surgery.where import Chosen, choose

C2F_LIKE = {
    *("C2f", "C3k2", "A2C2f", "C2fCIB", "C2fAttn", "C3", "C3x", "C3TR", "C3Ghost", "C2", "C1"),
    *("BottleneckCSP", "RepNCSPELAN4", "ELAN1", "RepC3", "HGBlock"),
}
"""Blocks that split, work on one part in repeated bottlenecks, and join: the body of a YOLO."""

POOLING = {"SPPF", "SPP", "SPPELAN"}

_LEVEL = re.compile(r"backbone\.p([1-7])")
_LAST = re.compile(r"backbone\.last([1-9])")


def spots(where: Any, position: str, traced: Trace) -> tuple[list[Spot], dict[str, str]]:
    """The spots of `where` in a traced network; what is no preset of theirs is a pattern."""
    patterns = where if isinstance(where, Sequence) and not isinstance(where, str) else [where]
    found: dict[tuple[str, int], Spot] = {}
    skipped: dict[str, str] = {}
    for pattern in patterns:
        for spot in _spots_of(pattern, position, traced, skipped):
            found.setdefault((spot.path, spot.item), spot)
    if not found:
        if not skipped:
            raise FovealError("where=[] names no place; `find_targets(model)` shows what there is")
        raise FovealError(f"none of the places fits: {next(iter(skipped.values()))}")
    return list(found.values()), skipped


def levels(where: Any, position: str, traced: Trace) -> tuple[Any, str]:
    """The layer whose several maps are meant, by its path, and on which side of it they are."""
    if where in ("head.in", ["head.in"]):
        return _numbered(-1, _layers(traced)), "before"
    if where in ("neck.out", ["neck.out"]):
        raise FovealError(
            "where='neck.out' is one layer for each level, of which the neck goes on using some; "
            "the levels come together at where='head.in'"
        )
    return where, position


def _spots_of(pattern: Any, position: str, traced: Trace, skipped: dict[str, str]) -> list[Spot]:
    if pattern == "head.in":
        return _head_inputs(position, traced)
    paths = _preset(pattern, traced)
    chosen = choose(pattern, traced) if paths is None else Chosen(paths, set())
    if position == "inside_residual":
        return [spot for path in chosen.paths for spot in _inside(path, traced, skipped)]
    found, passed = general_spots(chosen, position, traced)
    skipped.update(passed)
    return found


def _preset(pattern: Any, traced: Trace) -> list[str] | None:
    """The layers of a preset; None if the pattern is none of ours."""
    layers = _layers(traced)
    if isinstance(pattern, int) and not isinstance(pattern, bool):
        return [_numbered(pattern, layers)]
    if not isinstance(pattern, str):
        return None
    if re.fullmatch(r"-?[0-9]+", pattern):
        return [_numbered(int(pattern), layers)]
    if level := _LEVEL.fullmatch(pattern):
        return [_at_stride(2 ** int(level[1]), pattern, traced)]
    if last := _LAST.fullmatch(pattern):
        return _last_ends(int(last[1]), pattern, traced)
    if pattern in _NAMED:
        return _NAMED[pattern](traced)
    meant = did_you_mean(pattern, [*_NAMED, "head.in", "backbone.p3", "backbone.last2"])
    if pattern.split(".")[0] in ("backbone", "neck", "head"):
        raise FovealError(
            f"where={pattern!r} is no preset{meant} There are backbone.p3, backbone.p4, "
            "backbone.p5, backbone.last2, sppf, neck.out, head.in, every_c2f and layers' numbers"
        )
    return None


def _numbered(number: int, layers: list[nn.Module]) -> str:
    if not -len(layers) <= number < len(layers):
        raise FovealError(f"where={number}: the network has layers 0 to {len(layers) - 1}")
    return f"model.{number % len(layers)}"


def _pooling(traced: Trace) -> list[str]:
    found = _of_class(POOLING, traced)
    if not found:
        raise FovealError("where='sppf': the network has no SPPF; backbone.p5 is in its place")
    return found


def _neck_out(traced: Trace) -> list[str]:
    sources = _sources(traced)
    if len(sources) < 2:
        raise FovealError(
            "where='neck.out': the network has no neck; choose backbone.p5 or head.in"
        )
    return [f"model.{i}" for i in sources]


def _every_c2f(traced: Trace) -> list[str]:
    found = _of_class(C2F_LIKE, traced)
    if not found:
        raise FovealError("where='every_c2f': no layer is a C2f or like one; name layers by number")
    return found


_NAMED: dict[str, Callable[[Trace], list[str]]] = {
    "sppf": _pooling,
    "neck.out": _neck_out,
    "every_c2f": _every_c2f,
}


def _head_inputs(position: str, traced: Trace) -> list[Spot]:
    """One spot for every level that the head is given."""
    if position not in ("after", "before"):
        raise FovealError(
            f"where='head.in' is a value and no layer, which position={position!r} needs; "
            "leave position as it is"
        )
    head = f"model.{len(_layers(traced)) - 1}"
    levels = len(traced.calls[head][0].inputs)
    return [spot_at(head, "before", traced, item) for item in range(levels)]


def _inside(path: str, traced: Trace, skipped: dict[str, str]) -> list[Spot]:
    """The ends of every residual branch inside a layer, the repeated bottlenecks' among them."""
    ends = residual_ends(traced, path)
    for call in traced.calls.get(path, []):
        for owner in _adding(call, traced):
            ends += [end for end in residual_ends(traced, owner) if end not in ends]
    if not ends:
        skipped[path] = f"{path} adds nothing to a shortcut, so there is no residual branch in it"
    found = []
    for end in ends:
        try:
            found.append(spot_at(end, "after", traced))
        except UnfitError as error:
            skipped[end] = str(error)
    return found


def _adding(call: Call, traced: Trace) -> list[str]:
    """The modules inside a call that add a branch to a shortcut."""
    owners = []
    for addition in traced.additions:
        ancestor: Call | None = addition.owner
        while ancestor is not None and ancestor is not call:
            ancestor = ancestor.parent
        if ancestor is call and addition.clear and addition.owner.path not in owners:
            owners.append(addition.owner.path)
    return owners


def _layers(traced: Trace) -> list[nn.Module]:
    return list(traced.root.module.model)  # pyright: ignore


def _sources(traced: Trace) -> list[int]:
    """The numbers of the layers whose outputs the head takes."""
    layers = _layers(traced)
    given: Any = layers[-1].f
    given = [given] if isinstance(given, int) else list(given)
    return [i % len(layers) if i >= 0 else len(layers) - 1 + i for i in given]


def _of_class(names: set[str], traced: Trace) -> list[str]:
    """The layers of these classes, or that repeat one of them."""

    def name(layer: nn.Module) -> str:
        repeated = isinstance(layer, nn.Sequential) and len(layer)
        return type(layer[0] if repeated else layer).__name__  # pyright: ignore

    return [f"model.{i}" for i, layer in enumerate(_layers(traced)) if name(layer) in names]


def _ends(traced: Trace) -> dict[int, str]:
    """The backbone's last layer at each stride that hands on one map."""
    assert traced.image is not None
    ends = {}
    for i in range(len(traced.root.module.yaml["backbone"])):  # pyright: ignore
        calls = traced.calls.get(f"model.{i}")
        feature = calls[0].output if calls and calls[0].kind == "tensor" else None
        if feature is not None and feature.layout == "map" and feature.size:
            ends[round(traced.image[0] / feature.size[0])] = f"model.{i}"
    return ends


def _at_stride(stride: int, pattern: str, traced: Trace) -> str:
    ends = _ends(traced)
    if stride not in ends:
        there = ", ".join(f"p{stride.bit_length() - 1}" for stride in sorted(ends))
        raise FovealError(f"where={pattern!r}: the backbone has {there}")
    return ends[stride]


def _last_ends(number: int, pattern: str, traced: Trace) -> list[str]:
    ends = [path for stride, path in sorted(_ends(traced).items()) if stride > 2]
    if number > len(ends):
        raise FovealError(f"where={pattern!r}: the backbone has {len(ends)} ends of stages")
    return ends[-number:]
