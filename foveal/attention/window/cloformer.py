"""Context-aware convolution of CloFormer."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import head_count
from foveal.ops.squares import bias_of_real, real_squares
from foveal.ops.window import is_open, pad_to_multiple, padded_size

_STAGES = ((64, 3, 8, 0.75), (128, 5, 4, 0.5), (256, 7, 2, 0.5))
"""Widest channels, kernel, window and share of local heads of the stages but the last."""


class AttnConv(nn.Module):
    """Values convolved within each channel, and a weight for each of their numbers."""

    def __init__(self, channels: int, width: int, kernel_size: int, bias: bool):
        super().__init__()
        edge = kernel_size // 2
        self.qkv = nn.Conv2d(channels, 3 * width, 1, bias=bias)
        self.mix = nn.Conv2d(3 * width, 3 * width, kernel_size, padding=edge, groups=3 * width)
        self.score = nn.Sequential(
            nn.Conv2d(width, width, 1), nn.SiLU(), nn.Conv2d(width, width, 1)
        )

    def forward(self, x: Map, scale: float) -> tuple[Map, Map]:
        q, k, v = self.mix(self.qkv(x)).chunk(3, dim=1)
        return (self.score(q * k) * scale).tanh(), v


@register_attention("cloformer", paper="Fan et al., Rethinking Local Perception in Lightweight "
                    "Vision Transformer, arXiv 2023", arxiv="2303.17803")  # fmt: skip
class CloFormer(nn.Module):
    r"""Weigh what a depthwise convolution finds by its context, beside heads that see means.

    $$y = W_o\,[\tanh\big(\tfrac{1}{\sqrt d}\,A(q \odot k)\big) \odot v,\
    \mathrm{softmax}\big(q' \bar k^\top / \sqrt{d}\big)\,\bar v], \quad
    q, k, v = \mathrm{dwconv}(W x), \quad A = W_2\,\mathrm{swish}\,W_1$$

    The convolution's weights are shared by all positions, as a convolution's are; what is
    particular to a position comes from its own query and key, as in attention, but as a weight for
    each channel, which may be negative, and not for each neighbour. The other heads compare each
    position with the means $\bar k, \bar v$ of windows.

    Placed: as the attention of every block of CloFormer, before the perceptron.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 3·C² + C² + qkv_bias·4·C + 3·taps + 5·local + 2·squares.
    Multiply-adds: N·(C² + 3·C·local + 3·taps + 3·local + 2·squares) + N·C·low
    + pools·C·N + ceil(H/window_size)·ceil(W/window_size)·2·low·(C + N).

    Args:
        channels: channels C of the feature map.
        num_heads: heads of both kinds. Default: those of CloFormer-S, of at least 16 channels.
        kernel_size: of each convolution, odd. Default: the authors' for a stage of that width, one
            of 3 up to 64 channels, 5 up to 128, 7 up to 256 and then 9.
        split: how many heads have each kernel, and last how many see means. Default: the authors'
            share, ¾ of the heads local up to 64 channels, ½ up to 256 and then ¼.
        window_size: side of the windows whose means are keys and values; 1 for every position.
            Default: 8 up to 64 channels, 4 up to 128, 2 up to 256 and then 1.
        qkv_bias: give queries, keys, values and the result a bias.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if the heads do not divide the channels, the split is not of all heads, or a
            kernel is even.

    Departs: Windows at the edge are as large as the map leaves them; the authors' code takes only
    maps that the windows tile.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        kernel_size: int | Sequence[int] | None = None,
        split: Sequence[int] | None = None,
        window_size: int | None = None,
        qkv_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        stages = (stage[1:] for stage in _STAGES if channels <= stage[0])
        kernel, window, share = next(stages, (9, 1, 0.25))
        sizes = kernel if kernel_size is None else kernel_size
        sizes = (sizes,) if isinstance(sizes, int) else tuple(sizes)
        self.window_size = window if window_size is None else window_size
        if any(size < 1 or size % 2 == 0 for size in sizes) or self.window_size < 1:
            raise FovealError(
                f"kernel_size={sizes} must be odd and window_size={self.window_size} at least 1"
            )
        self.num_heads = heads = head_count(channels, num_heads, head_channels=16)
        if split is None:
            local = min(max(round(share * heads), 1), max(heads - 1, 1)) if sizes else 0
            split = [local // len(sizes)] * len(sizes) if sizes else []
            split = [*split, heads - sum(split)]
        if len(split) != len(sizes) + 1 or min(split) < 0 or sum(split) != heads:
            raise FovealError(
                f"split={tuple(split)} must share out num_heads={heads} among kernel_size={sizes} "
                "and, last, the heads that see means"
            )
        self.qkv_bias, self.attention_dropout = qkv_bias, attention_dropout
        self.head_channels = channels // heads
        self.scale = self.head_channels**-0.5
        widths = [number * self.head_channels for number in split]
        self.local, self.low = sum(widths[:-1]), widths[-1]
        self.taps = sum(w * size**2 for w, size in zip(widths, sizes, strict=False))
        self.squares = sum(w**2 for w in widths[:-1])
        self.pools = self.low > 0 and self.window_size > 1
        self.convs = nn.ModuleList(
            AttnConv(channels, w, size, qkv_bias)
            for w, size in zip(widths, sizes, strict=False)
            if w
        )
        if self.low:
            self.query = nn.Conv2d(channels, self.low, 1, bias=qkv_bias)
            self.key_value = nn.Conv2d(channels, 2 * self.low, 1, bias=qkv_bias)
        self.proj = nn.Conv2d(channels, channels, 1, bias=qkv_bias)
        self.dropout = nn.Dropout(dropout)

    def _means(self, x: Map) -> tuple[Map, Tensor | None]:
        """The mean of each window over what it has of the map, and a bias that hides empty ones."""
        side = self.window_size
        if not any(map(is_open, x.shape[2:])):
            return F.avg_pool2d(x, side, ceil_mode=True), None
        rows, columns = (
            (torch.arange(padded_size(size, side), device=x.device) < size)
            .view(-1, side)
            .to(x.dtype)
            .mean(1)
            for size in x.shape[2:]
        )
        means = F.avg_pool2d(pad_to_multiple(x, (side, side)), side)
        means = means / (rows[:, None] * columns).clamp(min=side**-2)
        return means, bias_of_real(real_squares(x, side), x)

    def _low(self, x: Map) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Queries of every position, keys and values of every window's mean."""
        means, bias = self._means(x) if self.pools else (x, None)
        maps = (self.query(x), *self.key_value(means).chunk(2, dim=1))
        q, k, v = (t.flatten(2).unflatten(1, (-1, self.head_channels)).mT for t in maps)
        return q, k, v, bias

    def attention_map(self, x: Map, low: bool = False) -> Float[Tensor, "..."]:
        """The weight of each number of the local heads, (B, local, H, W), in (-1, 1); or with
        `low`, and where no head is local, how much each position takes from each window's mean,
        (B, heads, N, M), rows of which sum to 1."""
        if low or not self.local:
            q, k, _, bias = self._low(x)
            return attention_weights(q, k, scale=self.scale, bias=bias)
        return torch.cat([conv(x, self.scale)[0] for conv in self.convs], dim=1)

    def forward(self, x: Map) -> Map:
        dropout = self.attention_dropout if self.training else 0.0
        parts = []
        for conv in self.convs:
            weights, v = conv(x, self.scale)
            parts.append((F.dropout(weights, dropout) if dropout else weights) * v)
        if self.low:
            q, k, v, bias = self._low(x)
            heads = attend(q, k, v, scale=self.scale, bias=bias, dropout=dropout)
            parts.append(heads.mT.flatten(1, 2).unflatten(2, x.shape[2:]))
        return self.dropout(self.proj(torch.cat(parts, dim=1)))
