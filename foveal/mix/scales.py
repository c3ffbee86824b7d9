"""A mechanism run over several scales of its input, joined and weighted as branches are."""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.explained import Range, attention_range
from foveal.core.types import Map
from foveal.mix.join import Joiner, Mean, Select, Sum
from foveal.mix.weigh import Dynamic, Learned, Weighting
from foveal.ops.eager import runs_eagerly

Build = Callable[[int], nn.Module]


class Scales(nn.Module):
    """What a pyramid and a wavelet share: `split`, a mechanism for each scale, `merge`.

    Where a joiner only adds up and the weights are one number for an image, the scales are weighted
    at their own size and put together once. Otherwise each is drawn out to the size of the input by
    itself, and the joiner is given these maps.

    Args:
        channels: channels C of the map.
        build: makes a mechanism over maps from the channels.
        scales: how many there are.
        joiner: makes the joiner from the channels and the number of scales.
        weighting: makes the weighting in the same way; None where the joiner takes none.
        shared: whether one mechanism serves all scales.
        negligible: at inference in eager mode scales whose weight is below this in every image and
            at every position are not computed; 0 computes all. Only for a joiner that adds up.

    Raises:
        FovealError: if the joiner takes gates and not maps, or takes no weights and is given some,
            or if `negligible` is not from 0 up to 1.
    """

    adds_up: ClassVar[bool]
    """Whether the scales, as they are, add up to the map."""
    shown: ClassVar[int] = 0
    """The scale whose mechanism `attention_map` shows."""

    def __init__(
        self,
        channels: int,
        build: Build,
        scales: int,
        *,
        joiner: Callable[[int, int], Joiner] = Mean,
        weighting: Callable[[int, int], Weighting] | None = Learned,
        shared: bool = False,
        negligible: float = 1e-3,
    ):
        super().__init__()
        if not 0 <= negligible < 1:
            raise FovealError(f"negligible={negligible!r} must be from 0 up to 1, a weight")
        self.scales, self.shared, self.negligible = scales, shared, negligible
        self.joiner = joiner(channels, scales)
        self.weighting = None if weighting is None else weighting(channels, scales)
        _check_joiner(self.joiner, self.weighting)
        self.joiner.weighted = weighting is not None
        self.mechanisms = nn.ModuleList(build(channels) for _ in range(1 if shared else scales))
        self.skipped: tuple[int, ...] = ()

    def split(self, x: Map, wanted: Sequence[int]) -> dict[int, Map]:
        """The scales of a map that are wanted, by their numbers."""
        raise NotImplementedError

    def merge(self, scales: dict[int, Map], height: int, width: int) -> Map:
        """The map of height × width that has these scales; those that are absent are all zeros."""
        raise NotImplementedError

    def weights(self, x: Map) -> Tensor | None:
        """The weights of the scales, (1 or B, scales, 1, 1 or H, 1 or W), if there are any."""
        if self.weighting is None:
            return None
        if not self.weighting.needs_outputs:
            return self.weighting(x)
        return self.weighting(x, list(self._drawn_out(x)))

    def skip_scales(self, below: float = 1e-3) -> tuple[int, ...]:
        """Leave out for good the scales whose weight is below a number, also in programs that are
        exported afterwards; `skip_scales(0)` takes all in again. Their numbers are returned.

        Raises:
            FovealError: if the weights depend on the input, or the joiner does not add up.
        """
        if self.weighting is None or self.weighting.needs_outputs or not self._sums:
            raise FovealError("only scales that are weighted and added up can be left out")
        if isinstance(self.weighting, Dynamic):
            raise FovealError(
                f"weights by {type(self.weighting).__name__} depend on the input, so that no scale "
                "can be left out for good; at inference those below `negligible` are left out"
            )
        like = next(self.weighting.buffers())
        with torch.no_grad():
            weights = self.weighting(like.new_zeros(1, 1, 1, 1)).flatten().tolist()
        self.skipped = tuple(i for i, weight in enumerate(weights) if weight < below)
        return self.skipped

    def attention_map(self, x: Map) -> Tensor:
        """The weights of the mechanism of one scale, at that scale's size: of the finest scale of a
        pyramid, of the means of a wavelet."""
        mechanism = self._mechanism(self.shown % self.scales)
        part = self.split(x, [self.shown % self.scales])[self.shown % self.scales]
        return mechanism.attention_map(part)  # pyright: ignore[reportCallIssue]

    def attention_range(self) -> Range:
        """Stated in any case: a gate on a scale may be none on the whole map."""
        return attention_range(self._mechanism(self.shown % self.scales)) or (0.0, 1.0)

    def forward(self, x: Map) -> Map:
        if self.weighting is not None and self.weighting.needs_outputs:
            outputs = list(self._drawn_out(x))
            return self.joiner(x, outputs, self.weighting(x, outputs))
        weights = None if self.weighting is None else self.weighting(x)
        if not self._sums or (weights is not None and weights.shape[-2:] != (1, 1)):
            return self.joiner(x, self._drawn_out(x), weights)
        parts = self.split(x, self._wanted(weights))
        for i, part in parts.items():
            parts[i] = self._weighted(self._mechanism(i)(part), weights, i)
        return self.merge(parts, *x.shape[2:])

    @property
    def _sums(self) -> bool:
        return isinstance(self.joiner, Sum | Mean)

    def _mechanism(self, scale: int) -> nn.Module:
        return self.mechanisms[0 if self.shared else scale]

    def _weighted(self, part: Map, weights: Tensor | None, scale: int) -> Map:
        """A scale as the joiner will count it; scales that add up count once if all weigh alike."""
        if weights is not None:
            weight = weights[:, scale].to(part.dtype)
            return part * (weight * self.scales if self.adds_up else weight)
        return part / self.scales if isinstance(self.joiner, Mean) and not self.adds_up else part

    def _drawn_out(self, x: Map) -> Iterator[Map]:
        """What each scale comes to at the size of the input. Those that add up are taken as often
        as there are scales, if the joiner is going to divide by that number."""
        means = isinstance(self.joiner, Mean | Select)
        times = self.scales if self.adds_up and (means or (self._sums and self.weighting)) else 1
        for i, part in self.split(x, range(self.scales)).items():
            y = self.merge({i: self._mechanism(i)(part)}, *x.shape[2:])
            yield y * times if times > 1 else y

    def _wanted(self, weights: Tensor | None) -> list[int]:
        """The scales that are worth computing. Values are looked at only where nothing is learned,
        compiled or exported."""
        wanted = [i for i in range(self.scales) if i not in self.skipped]
        if weights is None or not self.negligible or not _may_look(self, weights):
            return wanted
        largest = weights.amax((0, 2, 3, 4)).tolist()
        return [i for i in wanted if largest[i] >= self.negligible]


def check_levels(levels: int, size: tuple[int, int] | None = None, least: int = 1) -> None:
    """Refuse a number of levels, or one that a map of a known size does not have.

    Halving goes on where nothing is left to halve, and gives the same level again. Where the size
    is known beforehand, such levels are refused.

    Args:
        levels: how many.
        size: height and width of the map, if known.
        least: rows and columns that the last level must have.

    Raises:
        FovealError: if `levels` is no positive whole number, or the map has fewer.

    >>> check_levels(3, (5, 9))
    >>> check_levels(4, (5, 9))
    Traceback (most recent call last):
    foveal.core.errors.FovealError: levels=4: a map of 5 × 9 is smaller than that, it has 3 levels
    """
    if isinstance(levels, bool) or not isinstance(levels, int) or levels < 1:
        raise FovealError(f"levels={levels!r} must be a positive whole number")
    if size is not None:
        there = (min(size) // least).bit_length()
        if levels > there:
            raise FovealError(
                f"levels={levels}: a map of {size[0]} × {size[1]} is smaller than that, it has "
                f"{there or 'no'} level{'s' * (there != 1)}"
            )


def _may_look(module: nn.Module, weights: Tensor) -> bool:
    if module.training or torch.is_grad_enabled() or not runs_eagerly() or weights.is_meta:
        return False
    return not (weights.is_cuda and torch.cuda.is_current_stream_capturing())


def _check_joiner(joiner: Joiner, weighting: Weighting | None) -> None:
    word = type(joiner).__name__.lower()
    if joiner.takes == "gates":
        raise FovealError(
            f"scales cannot be joined by {word}, which multiplies gates: a scale is a map; join "
            "them by mean, sum, max, concat, gate or select"
        )
    if weighting is not None and not joiner.weighable:
        raise FovealError(
            f"scales joined by {word} take no weights, for it chooses its own; "
            f"leave {type(weighting).__name__.lower()} out"
        )
