"""A mechanism with several inputs, seen as one with a single input."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

SMALL_MAPS = (5, 7), (3, 4), (2, 3), (1, 2)
"""Sizes of a list of maps, of which a mechanism gets as many as its `num_levels` says."""


class Together(nn.Module):
    """Makes a mechanism's further inputs from its first one, so that every law can be tried on it.

    They are fixed functions of the first: as many channels as the mechanism says, one token more,
    the same whatever the order of the tokens, and each picture's from that picture alone.

    Args:
        mechanism: takes the first input and the others.
        inputs: every input by name, with its layout.
    """

    def __init__(self, mechanism: nn.Module, inputs: Mapping[str, str]):
        super().__init__()
        self.mechanism = mechanism
        (_, self.layout), *self.further = inputs.items()

    def others(self, x: Tensor) -> list[Tensor | list[Tensor]]:
        """All inputs but the first."""
        axis = {"map": 1, "tokens": 2, "video": 2}[self.layout]
        positions = x.movedim(axis, -1)
        tokens = positions.flatten(1, -2)
        made = []
        for name, layout in self.further:
            channels = getattr(self.mechanism, f"{name}_channels", tokens.shape[-1])
            mixed = tokens @ _table(tokens.shape[-1], channels, x)
            if layout == "tokens":
                made.append(torch.cat((mixed, mixed.mean(1, keepdim=True)), dim=1))
            elif layout == "points":
                made.append((tokens @ _table(tokens.shape[-1], 2, x)).sigmoid())
            elif layout == self.layout:
                mixed = positions @ _table(tokens.shape[-1], channels, x)
                made.append(mixed.movedim(-1, axis))
            else:
                most = mixed.amax(1)[:, :, None, None]
                sizes = SMALL_MAPS[: getattr(self.mechanism, "num_levels", 2)]
                maps = [most * _pattern(channels, size, x) for size in sizes]
                made.append(maps if layout == "maps" else maps[0])
        return made

    def forward(self, x: Tensor) -> Tensor:
        return self.mechanism(x, *self.others(x))

    def attention_map(self, x: Tensor) -> Tensor:
        return self.mechanism.attention_map(x, *self.others(x))  # pyright: ignore


def positions_of(layout: str, value: Tensor | list[Tensor]) -> int:
    """How many places an input has; none, if it has no channels."""
    if isinstance(value, list):
        return sum(positions_of("map", one) for one in value)
    if layout == "points":
        return 0
    return value.shape[1] if layout == "tokens" else value.shape[-2] * value.shape[-1]


def _waves(*factors: Tensor) -> Tensor:
    """Fixed numbers from −1 to 1 without a pattern to speak of, one for each combination."""
    phase = factors[0]
    for factor in factors[1:]:
        phase = phase[..., None] * factor
    return phase.cos()


def _table(rows: int, columns: int, like: Tensor) -> Tensor:
    waves = _waves(_count(rows, like), _count(columns, like))
    return (waves / rows**0.5).to(like.dtype)


def _pattern(channels: int, size: tuple[int, int], like: Tensor) -> Tensor:
    return _waves(*(_count(n, like) for n in (channels, *size))).to(like.dtype)


def _count(number: int, like: Tensor) -> Tensor:
    """1, 2, 3, … in float32 at the least, for half precision has too few of them."""
    wide = torch.promote_types(like.dtype, torch.float32)
    return torch.arange(1, number + 1, device=like.device, dtype=wide)
