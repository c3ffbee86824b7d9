"""What the words for scales cost: filters, the parts at their sizes, and putting together."""

import math
from collections.abc import Callable

from torch import nn

from foveal.mix.coarse_to_fine import CoarseToFine
from foveal.mix.join import Mean, Sum
from foveal.mix.pyramid import Pyramid
from foveal.mix.scales import Scales
from foveal.mix.wavelet import Wavelet
from foveal.mix.weigh import Dynamic

Cost = tuple[float, float]
Of = Callable[[nn.Module, int, int], Cost]
"""The cost of a part over a map of some height and width."""

TAPS = 25
"""Of the binomial filter along both axes."""


def coarse_to_fine_cost(module: CoarseToFine, of: Of, channels: int, h: int, w: int) -> Cost:
    """Parameters and multiply-adds of a coarse and a fine pass."""
    side = module.window_size
    rows, columns = -(-h // side), -(-w // side)
    windows = rows * columns
    looked = -(-windows * module.share.numerator // module.share.denominator)
    coarse, fine = of(module.coarse, rows, columns), of(module.fine, side, side)
    positions = windows * side * side
    own = channels * (2 * positions + 2 * windows + 3 * looked * side * side) + 3 * looked
    return coarse[0] + fine[0] + channels + 1, coarse[1] + looked * fine[1] + own


def scales_cost(module: Scales, of: Of, channels: int, h: int, w: int) -> Cost:
    """Parameters and multiply-adds of a pyramid or a wavelet, all scales computed."""
    sizes = _halved(h, w, module.scales)
    measured = _of_wavelet if isinstance(module, Wavelet) else _of_pyramid
    by_scale, split, draw = measured(module, sizes)  # pyright: ignore[reportArgumentType]
    parts = [of(module.mechanisms[0 if module.shared else i], *size)
             for i, size in enumerate(by_scale)]  # fmt: skip
    parameters = parts[0][0] if module.shared else sum(part[0] for part in parts)
    weighs = module.weighting is not None
    weighting = of(module.weighting, h, w) if module.weighting is not None else (0.0, 0.0)
    joiner = of(module.joiner, h, w)
    positional = isinstance(module.weighting, Dynamic) and module.weighting.at_positions
    late = weighs and module.weighting.needs_outputs  # pyright: ignore
    places = sum(a * b for a, b in by_scale)
    if isinstance(module.joiner, Sum | Mean) and not positional and not late:
        scaled = weighs or (isinstance(module.joiner, Mean) and not module.adds_up)
        joined = draw(range(module.scales)) + scaled * places
        joiner = joiner[0], 0
    else:
        joined = sum(draw([i]) for i in range(module.scales))
        joined += module.scales * h * w * (module.adds_up and not _takes_all(module))
    own = channels * (split + joined)
    return (
        parameters + weighting[0] + joiner[0],
        sum(part[1] for part in parts) + weighting[1] + joiner[1] + own,
    )


def _takes_all(module: Scales) -> bool:
    """Whether the scales go to the joiner as they are, not times their number."""
    averages = not isinstance(module.joiner, Sum) and type(module.joiner).__name__ != "Select"
    return averages and not isinstance(module.joiner, Mean)


def _halved(h: int, w: int, times: int) -> list[tuple[int, int]]:
    sizes = [(h, w)]
    for _ in range(times):
        h, w = -(-h // 2), -(-w // 2)
        sizes.append((h, w))
    return sizes


def _of_pyramid(module: Pyramid, sizes: list[tuple[int, int]]):
    """The size of each scale, and for one channel the multiply-adds of taking apart and of putting
    some scales together."""
    levels = module.scales
    reduced = sum(TAPS * math.prod(sizes[i + 1]) for i in range(levels - 1))
    expanded = [TAPS * (sizes[i + 1][0] + 2) * (sizes[i + 1][1] + 2) for i in range(levels - 1)]
    bands = sum(e + math.prod(s) for e, s in zip(expanded, sizes, strict=False))

    def draw(scales) -> float:
        added = sum(math.prod(sizes[i]) for i in scales if i < max(scales))
        return sum(expanded[: max(scales)]) + added

    return sizes[:levels], reduced + module.adds_up * bands, draw


def _of_wavelet(module: Wavelet, sizes: list[tuple[int, int]]):
    """As for a pyramid."""
    taps = module.kernels.shape[-1] ** 2
    edge = module.kernels.shape[-1] // 2 - 1
    bands = [sizes[i // 3 + 1] for i in range(3 * module.levels)] + [sizes[module.levels]]
    split = sum(4 * taps * math.prod(sizes[i + 1]) for i in range(module.levels))

    def draw(scales) -> float:
        total, means = 0.0, 3 * module.levels in scales
        for level in reversed(range(module.levels)):
            there = sum(3 * level + i in scales for i in range(3)) + means
            h, w = sizes[level + 1]
            total += taps * there * (h + edge) * (w + edge)
            means = means or there > 0
        return total

    return bands, split, draw
