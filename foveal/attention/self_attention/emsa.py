"""Efficient multi-head self-attention of ResT."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import head_count, merge_heads, split_heads
from foveal.ops.squares import bias_of_real, real_squares
from foveal.ops.window import is_open, pad_to_multiple


@register_attention(
    "emsa", paper="Zhang and Yang, ResT: An Efficient Transformer, NeurIPS 2021", arxiv="2105.13677"
)
class EMSA(nn.Module):
    r"""Attend to a map shrunken channel by channel, and let the heads talk before the softmax.

    $$y = \mathrm{concat}_h\big(\mathrm{IN}(\mathrm{softmax}(\textstyle\sum_g w_{hg} Q_g K_g^\top /
    \sqrt{d}))\, V_h\big) W_O, \quad K, V = W_{kv}\,\mathrm{LN}(\mathrm{dwconv}_{r+1}(x))$$

    Spatial reduction as in PVT, but by a depthwise convolution of overlapping squares. What ResT
    adds makes up for the variety that few keys take away: a layer over the heads mixes their
    scores, and an instance normalisation takes the mean off each head's weights, so that they can
    be negative. Both need the N × M/r² weights themselves, so this form writes them out; with one
    head, without `transform` and in version 2 they are never formed. Version 2 has neither, and
    adds to the result the values, brought back to full resolution.

    Placed: as the attention of every block of ResT, before the perceptron.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 4·C² + C + qkv_bias·C·(3 − 2·transforms) + reduces·C·(taps + 3 − transforms)
    + transforms·num_heads²
    + restores·C·(10·key_stride² + 2).
    Multiply-adds: 2·N·C² + ceil(H / key_stride)·ceil(W / key_stride)·(2·C² + 2·N·C
    + reduces·C·(taps + 4) + transforms·N·num_heads·(num_heads + 5) + restores·9·C·key_stride²)
    + transforms·2·N·C + restores·5·N·C.

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the paper's, one for 64 channels, or as many as divide them.
        key_stride: r, how many rows and columns are reduced to one. Default: the paper's for a
            stage of that width, 8 up to 64 channels, 4 up to 128, 2 up to 256 and then 1.
        version: 1, or 2 for that of ResTv2 (arXiv 2204.07366).
        transform: mix the heads' scores and normalise their weights, where there are several; in
            version 1 only.
        qkv_bias: give queries, keys and values a bias.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: for another version, heads that do not divide the channels, or a stride below
            1.

    Departs: The layer over the heads has no bias, which the softmax would cancel; nor, where the
    weights are normalised to rows that sum to 0, have keys and values or the norm before them. For
    an odd stride the map is filled up with zeros to a multiple of it, for else a map of one
    position would have no key. In version 2 the authors' code takes only maps that r divides.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        key_stride: int | None = None,
        version: int = 1,
        transform: bool = True,
        qkv_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        if version not in (1, 2):
            raise FovealError(f"version={version!r} must be 1 or 2")
        if key_stride is None:
            stages = ((8, 64), (4, 128), (2, 256))
            key_stride = next((r for r, most in stages if channels <= most), 1)
        if key_stride < 1:
            raise FovealError(f"key_stride={key_stride} must be at least 1")
        r = self.key_stride = key_stride
        self.num_heads = head_count(channels, num_heads, head_channels=64)
        self.qkv_bias, self.attention_dropout = qkv_bias, attention_dropout
        self.scale = (channels // self.num_heads) ** -0.5
        self.reduces, self.restores, self.taps = r > 1, version == 2, (r + 1) ** 2
        self.transforms = version == 1 and transform and self.num_heads > 1
        self.fills = r % 2 == 1  # an even stride needs no zeros but the convolution's own
        eps = 1e-5 if version == 1 else 1e-6
        self.query = nn.Linear(channels, channels, bias=qkv_bias)
        self.key_value = nn.Linear(channels, 2 * channels, bias=qkv_bias and not self.transforms)
        self.proj = nn.Linear(channels, channels)
        if self.reduces:
            self.reduce = nn.Conv2d(channels, channels, r + 1, r, r // 2, groups=channels)
            self.norm = nn.LayerNorm(channels, eps, bias=not self.transforms)
        if self.transforms:
            self.mix = nn.Conv2d(self.num_heads, self.num_heads, 1, bias=False)
        if self.restores:
            self.restore = nn.Sequential(
                nn.Conv2d(channels, r * r * channels, 3, padding=1, groups=channels),
                nn.PixelShuffle(r),
            )
            self.restore_norm = nn.LayerNorm(channels, eps)
        self.dropout = nn.Dropout(dropout)

    def _project(self, x: Map) -> tuple[Tensor, Tensor, Tensor, Map]:
        """Queries, keys and values head by head, and the values as a map."""
        tokens = rearrange(x, "b c h w -> b (h w) c").contiguous()
        real, height = None, x.shape[2]
        if self.reduces:
            side = (self.key_stride, self.key_stride)
            real = real_squares(x, self.key_stride)
            reduced = self.reduce(
                x if real is None and not self.fills else pad_to_multiple(x, side)
            )
            keys = self.norm(rearrange(reduced, "b c h w -> b (h w) c"))
            height = reduced.shape[2]
        else:
            keys = tokens
        k, v = self.key_value(keys).chunk(2, dim=-1)
        image = rearrange(v, "b (h w) c -> b c h w", h=height)
        image = image if real is None else image * real
        q, k, v = (split_heads(t, self.num_heads) for t in (self.query(tokens), k, v))
        return q, k, v, image

    def _bias(self, x: Map, like: Tensor) -> Tensor | None:
        return bias_of_real(real_squares(x, self.key_stride), like) if self.reduces else None

    def _apart(self, q: Tensor, k: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """Weights less their mean, and one over their spread. The mean is 1/M: rows sum to 1."""
        wide = torch.promote_types(q.dtype, torch.float32)
        scores = self.mix((q * self.scale) @ k.mT).to(wide)
        if bias is None:
            apart, share = scores.softmax(-1) - 1 / k.shape[2], 1.0
        else:  # some keys are not real
            real = bias == 0
            apart = torch.where(real, (scores + bias).softmax(-1) - 1 / real.sum(), 0.0)
            share = real.to(wide).mean()
        spread = apart.square().mean((2, 3), keepdim=True) / share
        return apart.to(q.dtype), (spread + 1e-5).rsqrt().to(q.dtype)

    def attention_map(self, x: Map) -> Float[Tensor, "b heads n m"]:
        """How much each position takes from each square, per head, in (-∞, ∞): rows sum to 1, or to
        0 where the weights are normalised. Forms N × M."""
        q, k, _, _ = self._project(x)
        if not self.transforms:
            return attention_weights(q, k, scale=self.scale)
        apart, over_spread = self._apart(q, k, None)
        return apart * over_spread

    def forward(self, x: Map) -> Map:
        height, width = x.shape[2:]
        q, k, v, image = self._project(x)
        bias = self._bias(x, q)
        dropout = self.attention_dropout if self.training else 0.0
        if self.transforms:
            apart, over_spread = self._apart(q, k, bias)
            heads = (F.dropout(apart, dropout) @ v) * over_spread
        else:
            heads = attend(q, k, v, scale=self.scale, bias=bias, dropout=dropout)
        y = merge_heads(heads)
        if self.restores:
            values = self.restore(image)
            below, right = height - values.shape[2], width - values.shape[3]
            if is_open(below) or is_open(right) or below or right:
                values = F.pad(values, (0, right, 0, below))  # by less than nothing: cut off
            y = y + self.restore_norm(rearrange(values, "b c h w -> b (h w) c"))
        return rearrange(self.dropout(self.proj(y)), "b (h w) c -> b c h w", h=height)
