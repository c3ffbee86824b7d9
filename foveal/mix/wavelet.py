"""A mechanism run over the wavelet bands of its input."""

from collections.abc import Callable, Sequence

from torch import Tensor

from foveal.core.errors import FovealError, did_you_mean
from foveal.core.types import Map
from foveal.mix.join import Joiner, Mean
from foveal.mix.scales import Build, Scales, check_levels
from foveal.mix.weigh import Learned, Weighting
from foveal.ops.wavelet import LOW_PASS, analyse, synthesise, wavelet_kernels


class Wavelet(Scales):
    r"""Run a mechanism over each wavelet band of the map and put the bands together again.

    $$y = \mathrm{join}_i\ W_i^\top m_i(W_i\, x), \qquad \textstyle\sum_i W_i^\top W_i = I$$

    Each level takes the map apart into its means and its changes from left to right, from top to
    bottom and in both directions, all half as large; the next level takes the means apart. The
    bands are numbered from the finest level's changes to the last level's means. They add up to the
    map, so mechanisms that do nothing give the input back, exactly but for rounding, as long as all
    bands weigh the same.

    The transform is orthonormal for even sizes; the map is taken to begin anew where it ends. An
    odd row or column is doubled first and cut off again, so any size will do, down to one position.

    All bands but the last have a mean of about zero: a mechanism that looks at channel means alone
    sees next to nothing in them, one that looks at positions, sizes or neighbours does.

    Shape: (B, C, H, W) → (B, C, H, W).

    Args:
        channels: channels C of the map.
        build: makes a mechanism over maps from the channels; there is one for each of
            3 · levels + 1 bands, unless `shared`.
        levels: how often the means are taken apart.
        wavelet: `"haar"`, or `"db2"`, the Daubechies wavelet of four taps.
        joiner, weighting, shared, negligible: as in `foveal.mix.scales.Scales`.

    Raises:
        FovealError: if `levels` is no positive whole number, for an unknown wavelet, and as
            `Scales`.

    >>> wavelet = Wavelet(8, lambda channels: nn.Identity(), levels=2)
    >>> x = torch.rand(2, 8, 5, 7)
    >>> torch.allclose(wavelet(x), x, atol=1e-6), wavelet.scales
    (True, 7)
    """

    adds_up = True
    shown = -1
    kernels: Tensor

    def __init__(
        self,
        channels: int,
        build: Build,
        *,
        levels: int = 1,
        wavelet: str = "haar",
        joiner: Callable[[int, int], Joiner] = Mean,
        weighting: Callable[[int, int], Weighting] | None = Learned,
        shared: bool = False,
        negligible: float = 1e-3,
    ):
        check_levels(levels)
        if wavelet not in LOW_PASS:
            raise FovealError(
                f"wavelet={wavelet!r} must be {' or '.join(map(repr, LOW_PASS))}"
                f"{did_you_mean(str(wavelet), LOW_PASS)}"
            )
        super().__init__(
            channels,
            build,
            3 * levels + 1,
            joiner=joiner,
            weighting=weighting,
            shared=shared,
            negligible=negligible,
        )
        self.levels, self.wavelet = levels, wavelet
        self.register_buffer("kernels", wavelet_kernels(wavelet), persistent=False)

    def check_size(self, height: int, width: int) -> None:
        """Refuse a size that cannot be taken apart so often."""
        check_levels(self.levels, (height, width), least=2)

    def split(self, x: Map, wanted: Sequence[int]) -> dict[int, Map]:
        bands, means = {}, x
        for level in range(min(max(wanted) // 3 + 1, self.levels)):
            means, *changes = analyse(means, self.kernels)
            bands |= {3 * level + i: change for i, change in enumerate(changes)}
        bands[3 * self.levels] = means
        return {i: bands[i] for i in wanted}

    def merge(self, scales: dict[int, Map], height: int, width: int) -> Map:
        sizes = [(height, width)]
        for _ in range(self.levels - 1):
            height, width = (height + 1) // 2, (width + 1) // 2
            sizes.append((height, width))
        y = scales.get(3 * self.levels)
        for level in reversed(range(self.levels)):
            bands = [y, *[scales.get(3 * level + i) for i in range(3)]]
            if any([band is not None for band in bands]):  # noqa: C419  (compilers want lists)
                y = synthesise(bands, self.kernels, *sizes[level])
        assert y is not None
        return y
