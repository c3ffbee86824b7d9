"""The host of a choice, and the places that mechanisms are tried at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.surgery.example import default_example
from foveal.surgery.hosts import host_input, load_host
from foveal.surgery.place import Spot, spots
from foveal.surgery.trace import Trace, trace
from foveal.surgery.where import choose as resolve

PRESETS = ("last_stage", "backbone.last2", "stage_ends", "every_block")
SHAPE = "shape"
"""How the only place of a bare shape is called."""
SHAPE_IN_WORDS = "CxHxW such as 256x80x80, or TxCxHxW for a video"


@dataclass(frozen=True)
class Place:
    """Modules of the host that get the mechanism together."""

    where: str
    position: str
    spots: tuple[Spot, ...] = field(repr=False)

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(spot.path for spot in self.spots)

    @property
    def layout(self) -> str | None:
        return self.spots[0].feature.layout

    @property
    def most_positions(self) -> int:
        """Positions of one picture where there are most."""
        return max(spot.feature.positions or 0 for spot in self.spots)


@dataclass
class Host:
    """What a mechanism is to be put into."""

    name: str
    """As the user called it, or the class of the model."""
    spec: str | None
    """The name that a study can load it by."""
    shape: tuple[int, ...] | None
    """Given for a bare shape, whose host is one 3 × 3 convolution."""
    model: nn.Module
    """A copy of the user's, or loaded for this alone."""
    example: Any
    """What to call it with: one picture, or whatever was given."""

    def places(self, where: Sequence[str] | None) -> list[Place]:
        """The places to try: those named, or the presets that the host has.

        Raises:
            FovealError: if a place that was named does not exist or takes no mechanism.
        """
        traced = trace(self.model, self.example)
        if self.shape is not None:
            if where is not None:
                raise FovealError(f"where={where!r}: a shape is one place; leave where out")
            return [replace(_place("0", "after", traced), where=SHAPE)]
        if where is not None:
            return [_place(one, "after", traced) for one in where]
        found: list[Place] = []
        for preset in PRESETS:
            for place in _of_preset(preset, traced):
                if all(place.paths != other.paths for other in found):
                    found.append(place)
        if not found:
            _place("stage_ends", "after", traced)  # says why there is none
        return found


def find_host(
    model_or_shape: str | Sequence[int] | nn.Module,
    *,
    size: int | None = None,
    frames: int | None = None,
    example_input: Any = None,
) -> Host:
    """Load or build what mechanisms are tried in.

    Args:
        model_or_shape: a host's name, a module, or a shape: `CxHxW`, `TxCxHxW`, or numbers.
        size: height and width of the picture, for a named host.
        frames: give the host a clip (B, C, T, H, W) of so many frames.
        example_input: what to call a module with; one picture of its usual size otherwise.

    Raises:
        FovealError: if it is none of these.
    """
    shape = read_shape(model_or_shape)
    if shape is not None:
        if size is not None or frames is not None:
            raise FovealError(f"shape {_said(shape)} has its sizes already; leave size out")
        return _host_of_shape(shape)
    if isinstance(model_or_shape, nn.Module):
        if example_input is None:
            example_input = default_example(model_or_shape)[:1]
        model = _woken(deepcopy(model_or_shape))
        return Host(type(model_or_shape).__name__, None, None, model, example_input)
    if not isinstance(model_or_shape, str):
        raise FovealError(
            f"{model_or_shape!r} must be a model (a module, or a name such as timm:resnet18) or a "
            f"shape ({SHAPE_IN_WORDS})"
        )
    example = host_input(model_or_shape, size=size)
    if frames is not None:
        example = example[:, :, None].expand(-1, -1, frames, -1, -1).contiguous()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _woken(load_host(model_or_shape))
    return Host(model_or_shape, model_or_shape, None, model, example)


def read_shape(value: object) -> tuple[int, ...] | None:
    """A shape, or None for what is none.

    >>> read_shape("256x80x80"), read_shape((8, 64, 7, 7)), read_shape("timm:resnet18")
    ((256, 80, 80), (8, 64, 7, 7), None)
    """
    if isinstance(value, str) and re.fullmatch(r"\d+(?:[x×]\d+){2,3}", value):
        value = tuple(map(int, re.split("[x×]", value)))
    if isinstance(value, str) and ":" not in value and re.match(r"\d", value):
        raise FovealError(f"shape {value!r} must be {SHAPE_IN_WORDS}")
    if not isinstance(value, tuple | list):
        return None
    whole = all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in value)
    if not whole or len(value) not in (3, 4):
        raise FovealError(f"shape {_said(value)} must be positive and whole: {SHAPE_IN_WORDS}")
    return tuple(value)


def _host_of_shape(shape: tuple[int, ...]) -> Host:
    channels, height, width = shape[-3:]
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if len(shape) == 3:
            layer: nn.Module = nn.Conv2d(channels, channels, 3, padding=1)
            x: Tensor = torch.randn(1, channels, height, width, generator=generator)
        else:
            layer = nn.Conv3d(channels, channels, (1, 3, 3), padding=(0, 1, 1))
            x = torch.randn(1, channels, shape[0], height, width, generator=generator)
    return Host(_said(shape), None, shape, nn.Sequential(layer).eval(), x)


def _woken(model: nn.Module) -> nn.Module:
    """The model without parameters that are all zero, such as the last gain of a residual branch
    that has not been trained: behind them nothing that is inserted could be heard."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim and not parameter.any():
                parameter.fill_(0.1)
    return model


def _of_preset(preset: str, traced: Trace) -> list[Place]:
    """The place of a preset, if the host has it. In every block of a network over maps a mechanism
    goes to the end of the residual branch, where papers put it."""
    try:
        place = _place(preset, "after", traced)
    except FovealError:
        return []
    if preset == "every_block" and place.layout == "map":
        try:
            return [_place(preset, "inside_residual", traced)]
        except FovealError:
            pass
    return [place]


def _place(where: str, position: str, traced: Trace) -> Place:
    found, _ = spots(resolve(where, traced), position, traced)
    return Place(where, position, tuple(found))


def _said(shape: Sequence[object]) -> str:
    return "×".join(map(str, shape))
