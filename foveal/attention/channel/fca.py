"""Frequency channel attention."""

from math import pi

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.width import fitting_groups, hidden_width
from foveal.ops.window import pair

FREQUENCIES = {  # vertical and horizontal, on a 7 × 7 grid, in the order in which they are taken
    "top": "00 01 60 05 02 10 12 40 50 16 30 04 06 03 35 22 46 63 33 53 55 21 61 52 54 32 31 41 "
    "23 20 65 13",
    "low": "00 01 10 11 02 20 21 12 22 03 30 40 04 13 31 05 14 23 32 41 50 06 15 24 33 42 51 60 "
    "16 25 34 43",
    "bot": "66 14 34 36 26 43 11 24 44 45 56 15 42 62 25 51 64 13 65 20 23 41 31 32 54 52 61 21 "
    "55 53 33 63",
}


@register_attention("fca", paper="Qin et al., FcaNet, ICCV 2021", arxiv="2012.11879")
class FCA(nn.Module):
    r"""Gate each channel by a network over one frequency of each channel's cosine transform.

    $$y = x \odot \sigma\big(W_2\,\mathrm{ReLU}(W_1 z)\big), \quad
    z_c = \sum_{hw} x_{chw} \cos\frac{\pi u_c (h + \frac12)}{H}\cos\frac{\pi v_c (w + \frac12)}{W}$$

    SE's mean is the frequency (0, 0) alone. Here the channels are cut into groups, and each group
    is told of another frequency, by a basis of norm 1.

    Placed: after the last convolution of each residual block, before the addition.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 2·C·hidden.
    Multiply-adds: 2·C·H·W + 2·C·hidden + num_frequencies·(H·W + (H + 2)·height + (W + 2)·width + 4)
    + (H + 8)·height + (W + 8)·width.

    Args:
        channels: channels C of the feature map.
        size: height and width of the grid that the transform is over, each at least 7; a map of
            another size is averaged to it first. The authors' is that of the maps in training.
        num_frequencies: groups of channels, with a frequency each, at most 32. Default: the paper's
            16, or the most below it that divide the channels.
        select: which frequencies: the `"top"` by the paper's experiments, the `"low"` ones, or the
            `"bot"`, the worst.
        reduction: r, by which the hidden layer is narrower.
        hidden: width of the hidden layer. Default: C/r, at least 1.

    Raises:
        FovealError: for a size below 7, a number of frequencies that does not divide the channels
            or is above 32, an unknown `select`, or a reduction or width below 1.

    Departs: Frequencies are those of a 7 × 7 grid times the whole number of sevens in `size`, as in
    the authors' code: on a 14 × 14 grid every one is even.
    """

    frequencies: Tensor

    def __init__(
        self,
        channels: int,
        size: int | tuple[int, int] = 7,
        num_frequencies: int | None = None,
        select: str = "top",
        reduction: int = 16,
        hidden: int | None = None,
    ):
        super().__init__()
        self.height, self.width = pair(size, "size")
        if min(self.height, self.width) < 7:
            raise FovealError(
                f"size={size} must be at least 7: the frequencies are of a 7 × 7 grid"
            )
        if select not in FREQUENCIES:
            raise FovealError(f"select={select!r} must be one of {', '.join(FREQUENCIES)}")
        count = fitting_groups(channels, 16) if num_frequencies is None else num_frequencies
        if not 1 <= count <= 32 or channels % count:
            raise FovealError(
                f"num_frequencies={count} must divide the {channels} channels, and be at most 32"
            )
        self.num_frequencies = count
        pairs = [(int(u), int(v)) for u, v in FREQUENCIES[select].split()[:count]]
        steps = torch.tensor([self.height // 7, self.width // 7])
        self.register_buffer("frequencies", torch.tensor(pairs) * steps, persistent=False)
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.squeeze = nn.Linear(channels, self.hidden, bias=False)
        self.excite = nn.Linear(self.hidden, channels, bias=False)

    def _filters(self, x: Map) -> Float[Tensor, "f h w"]:
        """Each frequency's weights on the positions of the map, which average to the grid first."""
        wide = torch.promote_types(x.dtype, torch.float32)
        u, v = self.frequencies.to(wide).unbind(1)
        rows = _basis(u, self.height) @ _averages(self.height, x.shape[2], u)
        columns = _basis(v, self.width) @ _averages(self.width, x.shape[3], v)
        return (rows[:, :, None] * columns[:, None]).to(x.dtype)

    def attention_map(self, x: Map) -> Float[Tensor, "b c 1 1"]:
        """One weight per channel, in (0, 1)."""
        groups = x.unflatten(1, (self.num_frequencies, -1)).flatten(3)  # (B, F, C/F, N)
        found = (groups @ self._filters(x).flatten(1)[..., None]).flatten(1)  # (B, C)
        return self.excite(self.squeeze(found).relu()).sigmoid()[..., None, None]

    def forward(self, x: Map) -> Map:
        return x * self.attention_map(x)


def _basis(frequencies: Float[Tensor, "f"], size: int) -> Float[Tensor, "f size"]:
    """Cosines of those frequencies, each of norm 1."""
    positions = torch.arange(size, device=frequencies.device, dtype=frequencies.dtype) + 0.5
    waves = torch.cos(frequencies[:, None] * (positions * (pi / size)))
    squared = (2 - (frequencies == 0).to(waves.dtype)) / size
    return waves * squared.sqrt()[:, None]


def _averages(size: int, of: int, like: Tensor) -> Float[Tensor, "size of"]:
    """Adaptive average pooling from `of` positions to `size`, as a matrix; 1 where they agree."""
    bins = torch.arange(size, device=like.device)[:, None]
    start, end = bins * of // size, -(-(bins + 1) * of // size)
    positions = torch.arange(of, device=like.device)
    inside = (positions >= start) & (positions < end)
    return inside.to(like.dtype) / (end - start)
