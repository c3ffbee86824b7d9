"""A mechanism run over a Gaussian or Laplacian pyramid of its input."""

from collections.abc import Callable, Sequence

from torch import Tensor

from foveal.core.errors import FovealError, did_you_mean
from foveal.core.types import Map
from foveal.mix.join import Joiner, Mean
from foveal.mix.scales import Build, Scales, check_levels
from foveal.mix.weigh import Learned, Weighting
from foveal.ops.pyramid import binomial_kernel, expand, reduce

KINDS = ("gaussian", "laplacian")


class Pyramid(Scales):
    r"""Run a mechanism at several sizes of the map and join what comes of them.

    $$y = \mathrm{join}_l\ \uparrow^l m_l(z_l), \quad g_0 = x,\ g_{l+1} = \downarrow g_l, \quad
    z_l = g_l \text{ (Gaussian)} \quad\text{or}\quad z_l = g_l - \uparrow g_{l+1}
    \text{ (Laplacian, but the last)}$$

    ↓ smooths by the binomial filter [1 4 6 4 1]/16 and keeps every second position, ↑ goes back.
    The levels of a Laplacian pyramid add up to the map, so mechanisms that do nothing give the
    input back, exactly but for rounding, as long as all levels weigh the same. All levels but the
    last have a mean of about zero: what looks at channel means alone sees little in them.

    Sizes are halved rounding up; what has one row or column keeps it, so that any map has as many
    levels as are asked for. Those beyond ⌊log2 min(H, W)⌋ + 1 repeat what there was, and the finer
    bands of a Laplacian pyramid are then zero; `check_levels` refuses them where a size is known.

    Shape: (B, C, H, W) → (B, C, H, W).

    Args:
        channels: channels C of the map.
        build: makes a mechanism over maps from the channels.
        levels: how many sizes, the map's own among them.
        kind: `"gaussian"` or `"laplacian"`.
        joiner, weighting, shared, negligible: as in `foveal.mix.scales.Scales`.

    Raises:
        FovealError: if `levels` is no positive whole number, for an unknown kind, and as `Scales`.

    >>> pyramid = Pyramid(8, lambda channels: nn.Identity(), levels=3)
    >>> x = torch.rand(2, 8, 5, 7)
    >>> torch.allclose(pyramid(x), x, atol=1e-6), pyramid.weights(x).flatten().tolist()[0]
    (True, 0.3333333432674408)
    """

    kernel: Tensor

    def __init__(
        self,
        channels: int,
        build: Build,
        *,
        levels: int = 3,
        kind: str = "laplacian",
        joiner: Callable[[int, int], Joiner] = Mean,
        weighting: Callable[[int, int], Weighting] | None = Learned,
        shared: bool = False,
        negligible: float = 1e-3,
    ):
        check_levels(levels)
        if kind not in KINDS:
            raise FovealError(
                f"kind={kind!r} must be {' or '.join(map(repr, KINDS))}"
                f"{did_you_mean(str(kind), KINDS)}"
            )
        super().__init__(
            channels,
            build,
            levels,
            joiner=joiner,
            weighting=weighting,
            shared=shared,
            negligible=negligible,
        )
        self.kind = kind
        self.register_buffer("kernel", binomial_kernel(), persistent=False)

    @property
    def adds_up(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.kind == "laplacian"

    def check_size(self, height: int, width: int) -> None:
        """Refuse a size that has fewer levels than there are."""
        check_levels(self.scales, (height, width))

    def split(self, x: Map, wanted: Sequence[int]) -> dict[int, Map]:
        scales, here = {}, x
        for level in range(max(wanted) + 1):
            bands = self.adds_up and level < self.scales - 1
            further = level < max(wanted) or bands
            smaller = reduce(here, self.kernel) if further else here
            if level in wanted:
                drawn = expand(smaller, self.kernel, *here.shape[2:]) if bands else None
                scales[level] = here if drawn is None else here - drawn
            here = smaller
        return scales

    def merge(self, scales: dict[int, Map], height: int, width: int) -> Map:
        sizes = [(height, width)]
        for _ in range(max(scales)):
            height, width = (height + 1) // 2, (width + 1) // 2
            sizes.append((height, width))
        y = scales[max(scales)]
        for level in reversed(range(max(scales))):
            y = expand(y, self.kernel, *sizes[level])
            y = y + scales[level] if level in scales else y
        return y
