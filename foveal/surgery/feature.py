"""What a module hands on: a map, a map with the channels last, or tokens."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor

from foveal.surgery.flow import tag_of, tensors_in

FeatureLayout = Literal["map", "tokens", "channels_last", "clip"]

_MOST_PREFIX_TOKENS = 8


@dataclass(frozen=True)
class Feature:
    """The first tensor that a module takes or returns."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    layout: FeatureLayout | None
    """None if it is no map, tokens or clip (B, C, T, H, W), or if the layout cannot be told."""
    channels: int | None
    size: tuple[int, int] | None
    """Height and width; for tokens those of the grid they come from, if it is known."""
    prefix_tokens: int

    @property
    def positions(self) -> int | None:
        """How many places one picture has here; of a clip, in all its frames."""
        if self.layout == "clip":
            return prod(self.shape[2:])
        if self.size:
            return self.size[0] * self.size[1]
        return self.shape[1] if self.layout == "tokens" else None

    @property
    def like(self) -> tuple[Any, ...]:
        """What two features must share for one mechanism to serve both."""
        return self.layout, self.channels, self.prefix_tokens


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor of an output: the tensor itself, or the first in a tuple or mapping."""
    return next(tensors_in(value), None)


def feature_of(
    tensor: Tensor,
    batch: int | None,
    sizes: Iterable[tuple[int, int]],
    prefix_tokens: int | None,
) -> Feature:
    """Describe a tensor by its shape, its tag and the sizes of the maps seen before it.

    Args:
        tensor: what a module took or returned, tagged by `Flow` if it depends on the input.
        batch: images in the example.
        sizes: heights and widths of maps, the latest first.
        prefix_tokens: class and register tokens, where the model says how many it has.
    """
    shape = tuple(tensor.shape)
    sizes = list(sizes)
    layout, size, prefix = None, None, 0
    tag = tag_of(tensor)
    axis = tag.axis if tag else None
    if tensor.is_floating_point() and tag is not None:
        if len(shape) == 4:
            layout, size = _map_layout(shape, axis, sizes)
        elif len(shape) == 5 and axis == 1:
            layout, size = "clip", (shape[3], shape[4])
        elif len(shape) == 3 and axis in (2, None) and not _sequence_first(shape, batch):
            layout = "tokens"
            if batch in (None, shape[0]):
                size, prefix = _grid(shape[1], sizes, prefix_tokens)
    channels = None if layout is None else shape[1] if layout in ("map", "clip") else shape[-1]
    return Feature(shape, tensor.dtype, tensor.device, layout, channels, size, prefix)


def _map_layout(
    shape: tuple[int, ...], axis: int | None, sizes: list[tuple[int, int]]
) -> tuple[FeatureLayout | None, tuple[int, int] | None]:
    if axis is None:  # the path was lost in a reshape: which axes have the size of a map?
        first, last = shape[2:] in sizes, shape[1:3] in sizes
        axis = None if first == last else 1 if first else 3
    if axis == 1:
        return "map", (shape[2], shape[3])
    if axis == 3:
        return "channels_last", (shape[1], shape[2])
    return None, None


def _sequence_first(shape: tuple[int, ...], batch: int | None) -> bool:
    """Whether the images lie along another axis than the first, as in (N, B, C)."""
    if batch is None or shape[0] == batch:
        return False
    return shape[1] == batch or shape[0] % batch != 0


def _grid(
    tokens: int, sizes: list[tuple[int, int]], prefix_tokens: int | None
) -> tuple[tuple[int, int] | None, int]:
    """The grid that tokens come from: the latest map that leaves room for the prefix only.

    Where the model says how many prefix tokens it has, there are so many, or none yet.
    """
    if prefix_tokens is None:
        preferred = list(range(_MOST_PREFIX_TOKENS + 1))
    else:
        preferred = [prefix_tokens, 0]
    for extra in preferred:
        for height, width in sizes:
            if tokens - extra == height * width > extra:
                return (height, width), extra
    return None, 0
