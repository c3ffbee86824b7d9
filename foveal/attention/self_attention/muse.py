"""Parallel multi-scale attention of MUSE."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import heads_for, merge_heads, split_heads


@register_attention(
    "muse",
    paper="Zhao et al., MUSE: Parallel Multi-Scale Attention for Sequence to Sequence Learning, "
    "arXiv 2019",
    arxiv="1911.09483",
)
class MUSE(nn.Module):
    r"""Add to self-attention what convolutions of several sizes make of the same values.

    $$y = \mathrm{MHA}(Q, K, V)\,W_O + \textstyle\sum_i \mathrm{softmax}(\alpha)_i\,
    \mathrm{dw}_{k_i}(V)\,W_i, \quad Q, K, V = W_q x, W_k x, W_v x$$

    Attention looks everywhere and convolutions look near; both read one projection to values, so
    that they work in one space, and run side by side. How much each size of neighbourhood counts is
    learned.

    Placed: in every layer of a transformer that translates.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 2·C·key_width + key_width + (C + 1)·value_width + value_width·(taps + spreading)
    + (num_kernels + 1)·(value_width + 1)·C + mixes·num_kernels.
    Multiply-adds: N·(C·(2·key_width + value_width·(num_kernels + 2)) + value_width·taps + C)
    + 2·N²·num_heads·max(head_channels, value_channels) + num_kernels·C·value_width.

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: 8, or the most below it that divide the channels.
        head_channels: width of a head's queries and keys. Default: C / num_heads.
        value_channels: width of a head's values. Default: `head_channels`.
        kernel_size: sizes of the neighbourhoods, odd; 1 is a layer on each position alone.
        attention_dropout: probability of dropping a weight in training.

    Raises:
        FovealError: if the heads do not divide the channels and no width is given, or a kernel is
            even or none is given.

    Departs: Neighbourhoods are squares of a map, where the paper has stretches of a sentence. The
    paper's third branch, a network on each position alone, is left to the block around it. Keys
    have no bias, which the softmax would cancel.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        head_channels: int | None = None,
        value_channels: int | None = None,
        kernel_size: Sequence[int] = (1, 3, 5),
        attention_dropout: float = 0.0,
    ):
        super().__init__()
        if num_heads is not None and num_heads > 0 and head_channels is not None:
            self.num_heads = num_heads
        else:
            self.num_heads = heads_for(channels, num_heads)
        self.head_channels = channels // self.num_heads if head_channels is None else head_channels
        self.value_channels = self.head_channels if value_channels is None else value_channels
        if min(self.head_channels, self.value_channels) < 1:
            raise FovealError(
                f"head_channels={head_channels}, value_channels={value_channels} must be positive"
            )
        if not kernel_size or any(k < 1 or k % 2 == 0 for k in kernel_size):
            raise FovealError(f"kernel_size={kernel_size} must be odd sizes, at least one")
        self.num_kernels, self.attention_dropout = len(kernel_size), attention_dropout
        self.key_width = self.num_heads * self.head_channels
        width = self.value_width = self.num_heads * self.value_channels
        spreads = [k for k in kernel_size if k > 1]
        self.taps, self.spreading = sum(k * k for k in spreads), len(spreads)
        self.mixes = self.num_kernels > 1  # one alone counts for all there is
        self.query = nn.Linear(channels, self.key_width)
        self.key = nn.Linear(channels, self.key_width, bias=False)
        self.value = nn.Linear(channels, width)
        self.proj = nn.Linear(width, channels)
        self.near = nn.ModuleList(
            nn.Identity() if k == 1 else nn.Conv2d(width, width, k, padding=k // 2, groups=width)
            for k in kernel_size
        )
        self.out = nn.ModuleList(nn.Linear(width, channels) for _ in kernel_size)
        self.shares = nn.Parameter(torch.ones(self.num_kernels)) if self.mixes else None

    def _compared(self, x: Map, key: Map) -> tuple[Tensor, Tensor]:
        q, k = (rearrange(t, "b c h w -> b (h w) c").contiguous() for t in (x, key))
        return split_heads(self.query(q), self.num_heads), split_heads(self.key(k), self.num_heads)

    def _convolved(self, values: Map) -> Float[Tensor, "b n c"]:
        """All sizes at once: their layers are multiplied by their shares and stand side by side."""
        parts = [rearrange(near(values), "b c h w -> b (h w) c") for near in self.near]
        shares = [1.0] if self.shares is None else self.shares.softmax(0).unbind()
        layers: list[nn.Linear] = list(self.out)  # pyright: ignore[reportAssignmentType]
        weights = [layer.weight * share for share, layer in zip(shares, layers, strict=True)]
        biases = [layer.bias * share for share, layer in zip(shares, layers, strict=True)]
        weight, bias = torch.cat(weights, 1), torch.stack(biases).sum(0)
        return F.linear(torch.cat(parts, -1), weight, bias)

    def attention_map(self, x: Map, key: Map | None = None) -> Float[Tensor, "b heads n m"]:
        """How much each position takes from each, per head; rows sum to 1. Forms N × N."""
        return attention_weights(*self._compared(x, x if key is None else key))

    def forward(self, x: Map, key: Map | None = None, value: Map | None = None) -> Map:
        """Attend from x to itself, or to another map of its size with `key` and `value`."""
        key = x if key is None else key
        value = key if value is None else value
        height = x.shape[2]
        q, k = self._compared(x, key)
        v = self.value(rearrange(value, "b c h w -> b (h w) c").contiguous())
        dropout = self.attention_dropout if self.training else 0.0
        heads = attend(q, k, split_heads(v, self.num_heads), dropout=dropout)
        near = self._convolved(rearrange(v, "b (h w) c -> b c h w", h=value.shape[2]))
        return rearrange(self.proj(merge_heads(heads)) + near, "b (h w) c -> b c h w", h=height)
