"""What a mechanism takes and returns, as the annotations of its `forward` declare it."""

import inspect
from collections.abc import Mapping
from typing import Any, Literal, cast, get_args

from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.types import Map, Maps, Points, Scores, Tokens, Video

Layout = Literal["map", "tokens", "video"]
"""What the first input may be."""

_ANNOTATIONS = {
    "map": Map,
    "tokens": Tokens,
    "video": Video,
    "maps": Maps,
    "points": Points,
    "scores": Scores,
}
IN_WORDS = {
    "map": "a map (B, C, H, W)",
    "tokens": "tokens (B, N, C)",
    "video": "a video (B, T, C, H, W)",
    "maps": "a list of maps (B, C, H, W)",
    "points": "points (B, N, 2)",
    "scores": "scores (B, K)",
}
_RANKS = {"map": 4, "tokens": 3, "video": 5, "maps": 4, "points": 3}
_CHANNEL_AXES = {"map": 1, "tokens": 2, "video": 2, "maps": 1}
_ADAPTERS = {
    ("tokens", 4): "OnMap",
    ("map", 3): "OnTokens",
    ("map", 5): "OnFrames",
}


def inputs_of(cls: type[nn.Module]) -> dict[str, str]:
    """The inputs that `forward` cannot do without, by name, with the layout of each.

    >>> from foveal.core.registry import attention_info
    >>> inputs_of(attention_info("eca").cls)
    {'x': 'map'}

    Raises:
        TypeError: if the first is annotated with none of `Map`, `Tokens` and `Video`, or a further
            one without a default with none of the types in `foveal.core.types`.
    """
    parameters = list(inspect.signature(cls.forward).parameters.values())[1:]
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    first = parameters[0] if parameters else None
    layout = _layout(first.annotation) if first else None
    if first is None or layout not in get_args(Layout):
        raise TypeError(
            f"{cls.__name__}.forward must annotate its input as Map or Tokens (or Video; all from "
            "foveal.core.types), for that annotation declares the layout"
        )
    inputs = {first.name: cast(str, layout)}
    for parameter in parameters[1:]:
        if parameter.default is not parameter.empty or parameter.kind in variadic:
            continue
        layout = _layout(parameter.annotation)
        if layout in (None, "scores"):
            raise TypeError(
                f"{cls.__name__}.forward must annotate its input {parameter.name} with one of the "
                "types in foveal.core.types, or give it a default"
            )
        inputs[parameter.name] = cast(str, layout)
    return inputs


def layout_of(cls: type[nn.Module]) -> Layout:
    """The layout of the first input.

    Raises:
        TypeError: as `inputs_of`.
    """
    return cast(Layout, next(iter(inputs_of(cls).values())))


def output_of(cls: type[nn.Module]) -> str:
    """The layout that `forward` returns: `scores` if so annotated, else that of its input."""
    returned = _layout(inspect.signature(cls.forward).return_annotation)
    return "scores" if returned == "scores" else layout_of(cls)


def need(cls: type[nn.Module]) -> str | None:
    """Why a mechanism cannot stand in a model's place by itself, or None if it can.

    >>> from foveal.core.registry import attention_info
    >>> need(attention_info("eca").cls)
    """
    (first, _), *others = in_words(inputs_of(cls)).items()
    if others:
        named = " and ".join(f"{name}, {words}," for name, words in others)
        return (
            f"needs {named} beside {first}, and a place in a model has one tensor; call it from a "
            "forward of your own"
        )
    if output_of(cls) == "scores":
        return (
            "returns scores (B, K) and not the shape it was given; let it stand for the model's "
            "own head"
        )
    return None


def in_words(inputs: Mapping[str, str]) -> dict[str, str]:
    """Each input for people; those after the first may be of another number and width.

    >>> in_words({"x": "tokens", "context": "tokens"})
    {'x': 'tokens (B, N, C)', 'context': 'tokens (B, M, D)'}
    """
    (first, layout), *others = inputs.items()
    further = IN_WORDS | {"tokens": "tokens (B, M, D)"}
    return {first: IN_WORDS[layout]} | {name: further[layout] for name, layout in others}


def check_inputs(
    name: str,
    module: nn.Module,
    inputs: Mapping[str, str],
    words: Mapping[str, str],
    args: tuple,
    kwargs: Mapping[str, Any],
) -> None:
    """Refuse absent and wrong inputs by name. Only static facts of a tensor are read, so that
    tracing, compiling and exporting see nothing of it."""
    given = {**dict(zip(inputs, args, strict=False)), **kwargs}
    for what, layout in inputs.items():
        if what not in given:
            call = f"{name}({', '.join(inputs)})"
            raise FovealError(f"{name} needs {what}: {words[what]}; call it as {call}")
        value = given[what]
        called = name if len(inputs) == 1 else f"{name}: {what}"
        several = layout == "maps"
        if several and not (isinstance(value, list | tuple) and value):
            raise TypeError(f"{called} takes {words[what]}, not a {type(value).__name__}")
        channels = getattr(module, f"{what}_channels", module.channels)
        for one in value if several else (value,):
            _check(called, words[what], layout, channels, one)


def _check(called: str, expected: str, layout: str, channels: Any, x: Any) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{called} takes {expected}, not a {type(x).__name__}")
    if x.ndim != _RANKS[layout]:
        adapter = _ADAPTERS.get((layout, x.ndim))
        hint = f"; foveal.{adapter} adapts one layout to the other" if adapter else ""
        raise FovealError(f"{called} takes {expected}, got shape {tuple(x.shape)}{hint}")
    if not x.is_floating_point():
        raise FovealError(f"{called} takes floating-point numbers, got {x.dtype}; use x.float()")
    axis = _CHANNEL_AXES.get(layout)
    if axis is not None and channels is not None and x.shape[axis] != channels:
        raise FovealError(
            f"{called} was built for {channels} channels, got {x.shape[axis]} in {expected} = "
            f"{tuple(x.shape)}"
        )


def _layout(annotation: Any) -> str | None:
    if isinstance(annotation, str):  # from __future__ import annotations
        return {name.title(): name for name in _ANNOTATIONS}.get(annotation.rsplit(".", 1)[-1])
    return next((n for n, known in _ANNOTATIONS.items() if annotation is known), None)
