"""Attention across the levels of a pyramid: maps of several sizes that tell one another what they
see."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.types import Map
from foveal.mix.join import weighted_sum
from foveal.mix.weigh import Dynamic, Weighting
from foveal.ops.eager import runs_eagerly
from foveal.ops.resize import adaptive_means, bilinear
from foveal.ops.window import is_open


class Levels(nn.Module):
    r"""Exchange what the levels of a pyramid hold, downwards, upwards and sideways, and run a
    mechanism in each.

    $$t_l = a_l \oplus \uparrow t_{l+1}, \quad b_l = a_l \oplus t_l \oplus \downarrow b_{l-1}, \quad
    y_l = x_l + V_l\, m_l(b_l), \quad a_l = U_l\, x_l$$

    From the coarsest level down each takes what the one above it has gathered, drawn out linearly;
    then from the finest level up each takes what the one below it has gathered, averaged, beside
    its own input. U and V are 1 × 1 convolutions to a common width and back. ⊕ is a sum weighted by
    the input: every level weighs anew, for each image, its own map and what it is told.

    Shape: a list of maps (B, C_l, H_l, W_l), the finest first, of any sizes that do not grow →
    the same.

    Args:
        channels: channels of each map, the finest first; two at least.
        build: makes a mechanism over maps from the width; there is one for each level.
        width: the common width. Default: the fewest channels of a level.
        weighting: makes the weighting of a sum from the width and the number of its parts.

    Raises:
        FovealError: if there are fewer than two levels or a number is not positive; and when
            called, if the maps are fewer or more than the levels or do not fit them.

    >>> levels = Levels((8, 16, 16), lambda width: create_attention("eca", width))
    >>> maps = [torch.rand(1, 8, 20, 13), torch.rand(1, 16, 10, 7), torch.rand(1, 16, 4, 3)]
    >>> [tuple(y.shape) for y in levels(maps)]
    [(1, 8, 20, 13), (1, 16, 10, 7), (1, 16, 4, 3)]
    """

    def __init__(
        self,
        channels: Sequence[int],
        build: Callable[[int], nn.Module],
        *,
        width: int | None = None,
        weighting: Callable[[int, int], Weighting] = Dynamic,
    ):
        super().__init__()
        channels = tuple(channels)
        if len(channels) < 2:
            raise FovealError(f"channels={channels} must name two levels at least")
        width = min(channels) if width is None else width
        for name, number in (("width", width), *(("channels", c) for c in channels)):
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise FovealError(f"{name}={number!r} must be a positive whole number")
        self.channels, self.width = channels, width
        self.inward = nn.ModuleList([nn.Conv2d(c, width, 1) for c in channels])
        self.downward = nn.ModuleList([weighting(width, 2) for _ in channels[1:]])
        self.upward = nn.ModuleList(
            [weighting(width, 3 if i < len(channels) - 1 else 2) for i in range(1, len(channels))]
        )
        self.mechanisms = nn.ModuleList([build(width) for _ in channels])
        self.outward = nn.ModuleList([nn.Conv2d(width, c, 1) for c in channels])

    def weights(self, maps: Sequence[Map]) -> dict[str, list[Tensor]]:
        """The weights of each sum, (B, parts, 1, 1, 1).

        `down` has one for every level but the last, of its own map and of what comes from above;
        `up` one for every level but the first: of its own map, of what it gathered on the way down
        (the last level gathered nothing), and of what comes from below.
        """
        self.check(maps)
        return self._exchange(maps)[1]

    def attention_map(self, maps: Sequence[Map]) -> list[Tensor]:
        """The weights of each level's mechanism, as that mechanism gives them."""
        self.check(maps)
        pairs = zip(self.mechanisms, self._exchange(maps)[0], strict=True)
        return [m.attention_map(b) for m, b in pairs]  # pyright: ignore[reportCallIssue]

    def forward(self, maps: Sequence[Map]) -> list[Map]:
        self.check(maps)
        gathered, _ = self._exchange(maps)
        parts = zip(maps, self.outward, self.mechanisms, gathered, strict=True)
        return [x + outward(mechanism(b)) for x, outward, mechanism, b in parts]

    def _exchange(self, maps: Sequence[Map]) -> tuple[list[Map], dict[str, list[Tensor]]]:
        """What each level has gathered in the end, and the weights of the sums on the way."""
        own = [inward(x) for inward, x in zip(self.inward, maps, strict=True)]
        down, last = list(own), len(own) - 1
        falling, rising = [], []
        for i in reversed(range(last)):
            told = drawn_out(down[i + 1], *own[i].shape[2:])
            falling.insert(0, self.downward[i](own[i], [own[i], told]))
            down[i] = weighted_sum([own[i], told], falling[0])
        up = list(down)
        for i in range(1, len(own)):
            told = averaged(up[i - 1], *own[i].shape[2:])
            parts = [own[i], down[i], told] if i < last else [own[i], told]
            rising.append(self.upward[i - 1](own[i], parts))
            up[i] = weighted_sum(parts, rising[-1])
        return up, {"down": falling, "up": rising}

    def check(self, maps: Sequence[Map]) -> None:
        """Refuse maps that do not fit the levels; only their shapes are read."""
        if isinstance(maps, Tensor) or len(maps) != len(self.channels):
            given = 1 if isinstance(maps, Tensor) else len(maps)
            smaller = "a pyramid smaller than its levels" if given < len(self.channels) else "more"
            raise FovealError(
                f"built for {len(self.channels)} levels, got {given} "
                f"map{'s' * (given != 1)}: {smaller}"
            )
        shapes = ", ".join(str(tuple(x.shape)) for x in maps)
        for i, (x, channels) in enumerate(zip(maps, self.channels, strict=True)):
            if x.ndim != 4 or x.shape[1] != channels:
                raise FovealError(
                    f"level {i} takes a map (B, {channels}, H, W), got {tuple(x.shape)}; "
                    f"the maps are {shapes}"
                )
        for i, (fine, coarse) in enumerate(pairwise(maps)):
            for axis in (2, 3):
                sizes = fine.shape[axis], coarse.shape[axis]
                if not any(map(is_open, sizes)) and sizes[0] < sizes[1]:
                    raise FovealError(
                        f"level {i + 1} is larger than level {i}; give the finest map first, got "
                        f"{shapes}"
                    )


def drawn_out(x: Map, height: int, width: int) -> Map:
    """The map linearly interpolated at height × width positions."""
    if _fixed(x, height, width):
        return F.interpolate(x, (height, width), mode="bilinear", align_corners=False)
    return bilinear(x, height, width, align_corners=False)


def averaged(x: Map, height: int, width: int) -> Map:
    """The means of the map over height × width bins."""
    if _fixed(x, height, width):
        return F.adaptive_avg_pool2d(x, (height, width))
    return adaptive_means(x, height, width)


def _fixed(x: Map, *sizes: int) -> bool:
    """Whether the kernels that fix their windows when exported may be taken: they are faster."""
    return runs_eagerly() and not any(map(is_open, (*x.shape, *sizes)))
