"""A mechanism on a small example: what it takes, what it returns, and the weights between."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from foveal.core.card import Card
from foveal.testing.subject import Subject
from foveal.testing.together import Together

SIDE = 6


@dataclass(frozen=True)
class Example:
    """Shapes of the inputs by name, of the output, and the weights themselves."""

    inputs: dict[str, tuple[int, ...]]
    output: tuple[int, ...]
    weights: Tensor | None
    batch: int
    """The first axis of the weights, where it holds images alone; then it has one entry."""


def example(card: Card) -> Example:
    """Run a mechanism, stirred, on one smooth random image."""
    subject = Subject(card.name, {})
    channels = subject.small
    module = subject.module(channels)
    x = _smooth(subject.layout, channels)
    with torch.no_grad():
        output = module(x)
        weights = _explained(module, x)
    others = module.others(x) if isinstance(module, Together) else []
    shapes = dict(zip(card.inputs, map(_shape, [x, *others]), strict=True))
    return Example(shapes, tuple(output.shape), weights, len(x))


def _explained(module: nn.Module, x: Tensor) -> Tensor | None:
    """The weights, of several the first; None for a mechanism that has none to show."""
    inner = module.mechanism if isinstance(module, Together) else module
    if not hasattr(inner, "attention_map"):
        return None
    weights = module.attention_map(x)  # pyright: ignore[reportCallIssue]
    return weights[0] if isinstance(weights, tuple | list) else weights


def _shape(value: Tensor | list[Tensor]) -> tuple[int, ...]:
    return tuple((value[0] if isinstance(value, list) else value).shape)


def _smooth(layout: str, channels: int) -> Tensor:
    """Smooth, so that neighbours resemble each other as those of a picture do."""
    noise = torch.randn(4, channels, 3, 3, generator=torch.Generator().manual_seed(3))
    maps = interpolate(noise, (SIDE, SIDE), mode="bicubic", align_corners=True)
    if layout == "video":
        return maps[None]
    return maps[:1] if layout == "map" else maps[:1].flatten(2).mT
