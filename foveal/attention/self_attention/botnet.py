"""Bottleneck attention of BoTNet."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import heads_for, merge_heads, split_heads
from foveal.ops.relative_map import offset_vectors, with_positions
from foveal.ops.window import Size, pair


@register_attention(
    "botnet",
    paper="Srinivas et al., Bottleneck Transformers for Visual Recognition, CVPR 2021",
    arxiv="2101.11605",
)
class BoTNet(nn.Module):
    r"""Let every position attend to all, and its query also say how far up and across to look.

    $$y_n = \textstyle\sum_m \mathrm{softmax}_m\big(q_n^\top k_m / \sqrt{d}
    + q_n^\top (r^{\mathrm{row}}_{i_m - i_n} + r^{\mathrm{col}}_{j_m - j_n})\big)\, v_m$$

    Where a bias by relative position is the same for every query, here each query meets a learned
    vector for each vertical and each horizontal offset. The vectors are learned for one size of
    map and interpolated for any other, and the scores they give are carried by longer queries and
    keys, so that no N × N table is formed.

    Placed: in place of the 3 × 3 convolution of the three last bottlenecks of a ResNet.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·inner + qkv_bias·inner + offsets·head_channels.
    Multiply-adds: N·C·inner + N·num_heads·head_channels·(1 + H + W)
    + 4·(H + W − 1)·head_channels + 2·N²·num_heads·max(head_channels + H + W, value_channels).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the paper's 4, or fewer where 4 does not divide the channels.
        head_channels: width of a head's queries and keys. Default: C / num_heads.
        table_size: height and width of the map that the vectors are learned for.
        qkv_bias: give queries, keys and values a bias.
        scale_positions: divide the scores of the offsets by √d as well.

    Raises:
        FovealError: if the heads do not divide the channels, or a width or size is below 1.

    Departs: The scores of the offsets are not divided by √d, as in timm's published weights; the
    author's code does so (`scale_positions`).
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        head_channels: int | None = None,
        table_size: int | Size = 14,
        qkv_bias: bool = False,
        scale_positions: bool = False,
    ):
        super().__init__()
        self.num_heads = heads_for(channels, num_heads, usual=4, least=1)
        self.value_channels = channels // self.num_heads
        self.head_channels = self.value_channels if head_channels is None else head_channels
        if self.head_channels < 1:
            raise FovealError(f"head_channels={head_channels} must be at least 1")
        self.qkv_bias, self.scale_positions = qkv_bias, scale_positions
        self.scale = self.head_channels**-0.5
        self.widths = [self.num_heads * self.head_channels] * 2 + [channels]
        self.inner = sum(self.widths)
        self.qkv = nn.Linear(channels, self.inner, bias=qkv_bias)
        rows, columns = (2 * side - 1 for side in pair(table_size, "table_size"))
        self.offsets = rows + columns
        self.rows = nn.Parameter(torch.empty(rows, self.head_channels))
        self.columns = nn.Parameter(torch.empty(columns, self.head_channels))
        for table in (self.rows, self.columns):
            nn.init.trunc_normal_(table, std=self.scale)

    def _project(self, x: Map) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys that carry their positions, and values; scaled already."""
        height, width = x.shape[2:]
        tokens = rearrange(x, "b c h w -> b (h w) c")
        parts = self.qkv(tokens).split(self.widths, dim=-1)
        q, k, v = (split_heads(part, self.num_heads) for part in parts)
        scaled = q * self.scale
        by = scaled if self.scale_positions else q
        rows, columns = offset_vectors(self.rows, height), offset_vectors(self.columns, width)
        return *with_positions(scaled, k, by, rows, columns), v

    def attention_map(self, x: Map) -> Float[Tensor, "b heads n n"]:
        """How much each position takes from each, per head; rows sum to 1. Forms N × N."""
        q, k, _ = self._project(x)
        return attention_weights(q, k, scale=1.0)

    def forward(self, x: Map) -> Map:
        heads = attend(*self._project(x), scale=1.0)
        return rearrange(merge_heads(heads), "b (h w) c -> b c h w", h=x.shape[2])
