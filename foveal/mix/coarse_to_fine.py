"""A coarse pass over a small map decides where the fine pass looks."""

from collections.abc import Callable
from fractions import Fraction

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.types import Map
from foveal.ops.window import crop, is_open


class CoarseToFine(nn.Module):
    r"""Run one mechanism on the means of windows, and another inside the windows that these choose.

    $$y_w = x_w + (c_w - p_w) + g_w \, [f(x_w) - x_w - (c_w - p_w)], \quad
    g_w = \sigma(v^\top c_w + b)\,[w \in \mathrm{top}_k]$$

    p are the means of the windows w, c = coarse(p). A window's score is read off what the coarse
    pass made of its mean; the k windows of an image with the highest scores, a fixed share of all
    and at least one, are blended with what the fine mechanism f makes of each by itself. The gate
    of the blend lets the scores learn. All other windows only take the change of their mean.

    Windows at the lower and right edge are filled up with the edge's own values. The fine pass
    costs `share` of what it would in every window, the coarse pass 1/window_size² of the positions.

    Shape: (B, C, H, W) → (B, C, H, W).

    Args:
        channels: channels C of the map.
        coarse: makes the coarse mechanism, over maps, from the channels.
        fine: makes the fine mechanism, over maps, from the channels.
        window_size: side of a window, in positions.
        share: how much of an image's windows the fine pass looks into, above 0 and up to 1;
            rounded to a fraction with a denominator of at most 100.

    Raises:
        FovealError: if `window_size` is below 1, or `share` not above 0 and up to 1.

    >>> from functools import partial
    >>> eca, lka = partial(create_attention, "eca"), partial(create_attention, "lka")
    >>> look = CoarseToFine(32, coarse=eca, fine=lka, share=0.25)
    >>> look(torch.rand(2, 32, 13, 9)).shape, look.attention_map(torch.rand(2, 32, 13, 9)).shape
    (torch.Size([2, 32, 13, 9]), torch.Size([2, 1, 4, 3]))
    """

    def __init__(
        self,
        channels: int,
        coarse: Callable[[int], nn.Module],
        fine: Callable[[int], nn.Module],
        *,
        window_size: int = 4,
        share: float = 0.25,
    ):
        super().__init__()
        if not isinstance(window_size, int) or window_size < 1:
            raise FovealError(f"window_size={window_size!r} must be a positive whole number")
        if not 0 < share <= 1:
            raise FovealError(f"share={share!r} must be above 0 and up to 1, the share of windows")
        self.window_size = window_size
        self.share = max(Fraction(share).limit_denominator(100), Fraction(1, 100))
        self.coarse, self.fine = coarse(channels), fine(channels)
        self.score = nn.Conv2d(channels, 1, 1)

    def attention_map(self, x: Map) -> Float[Tensor, "b 1 m n"]:
        """A weight per window, in [0, 1]: how much it takes of the fine pass, 0 if nothing."""
        side = self.window_size
        means = _means(_filled(x, side), side)
        gates, _ = self._choose(self.coarse(means))
        return gates.unflatten(1, means.shape[2:])[:, None]

    def _choose(self, coarse: Map) -> tuple[Tensor, Tensor]:
        """The gate of each window (B, windows), and which have one (B, k)."""
        scores = self.score(coarse).flatten(1)
        part, whole = self.share.numerator, self.share.denominator
        places = scores.topk((scores.shape[1] * part + whole - 1) // whole, dim=1).indices
        chosen = scores.gather(1, places).sigmoid()
        return torch.zeros_like(scores).scatter(1, places, chosen), places

    def forward(self, x: Map) -> Map:
        side = self.window_size
        filled = _filled(x, side)
        means = _means(filled, side)
        coarse = self.coarse(means)
        gates, places = self._choose(coarse)
        rows = torch.div(places, means.shape[3], rounding_mode="floor")
        images = torch.arange(x.shape[0], device=x.device)[:, None]
        at = images, rows, places - rows * means.shape[3]
        change = (coarse - means).permute(0, 2, 3, 1)[..., None, None]  # (B, m, n, C, 1, 1)
        windows = _windows(filled, side)
        looked = windows[at]  # (B, k, C, side, side), copied; nothing else of them is
        fine = self.fine(looked.flatten(0, 1)).unflatten(0, places.shape)
        blend = gates.gather(1, places)[..., None, None, None]
        y = (windows + change).to(x.dtype)
        coarsely = looked + change[at]
        y.index_put_(at, torch.addcmul(coarsely, blend, fine - coarsely).to(y.dtype))
        y = rearrange(y, "b m n c h w -> b c (m h) (n w)")
        return crop(y, *x.shape[2:])


def _filled(x: Map, side: int) -> Map:
    """The map with its last row and column repeated until windows tile it."""
    height, width = ((size + side - 1) // side * side for size in x.shape[2:])
    if is_open(x.shape[2]) or is_open(x.shape[3]):  # more than needed, lest an export fix how much
        return F.pad(x, (0, side, 0, side), mode="replicate")[..., :height, :width]
    below, right = height - x.shape[2], width - x.shape[3]
    return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x


def _windows(filled: Map, side: int) -> Float[Tensor, "b m n c h w"]:
    """The same numbers, seen as windows."""
    return rearrange(filled, "b c (m h) (n w) -> b m n c h w", h=side, w=side)


def _means(filled: Map, side: int) -> Map:
    return _windows(filled, side).mean((4, 5)).permute(0, 3, 1, 2)
