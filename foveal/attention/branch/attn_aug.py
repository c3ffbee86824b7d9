"""Attention augmented convolution."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.attend import attend, attention_weights
from foveal.ops.resize import between


@register_attention("attn_aug", paper="Bello et al., Attention Augmented Convolutional Networks, "
                    "ICCV 2019", arxiv="1904.09925")  # fmt: skip
class AttentionAugmented(nn.Module):
    r"""Let a convolution make most channels, and attention over the whole map the rest.

    $$y = [\mathrm{conv}_k(x);\; W_O\,\mathrm{concat}_h(\mathrm{softmax}(S_h)\,V_h)], \quad
    S_{h,ij} = \big(q_i^\top k_j + q_i^\top r^W_{x_j - x_i} + q_i^\top r^H_{y_j - y_i}\big)
    / \sqrt{d}$$

    The two stand side by side on channels of their own, where ACmix adds them up. A query's match
    with a distance depends on the key's row and column alone, so keys are lengthened by a mark for
    each row and column, queries by what they say of them, and N × N is never formed.

    Placed: in place of the 3 × 3 convolution of the residual blocks in ResNet's last three stages.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: taps·C·conv_channels + conv_channels + C·inner + qkv_bias·inner
    + value_width² + value_width + 2·offsets·head_channels.
    Multiply-adds: N·C·(taps·conv_channels + inner) + N·value_width²
    + num_heads·N·head_channels·(H + W) + 2·(H + W − 1)·offsets·(head_channels + 3)
    + 2·num_heads·N²·max(head_channels + H + W, value_channels).

    Args:
        channels: channels C of the feature map.
        kernel_size: width of the convolution, odd.
        num_heads: heads of the attention. Default: the paper's 8, but one for 8 channels at most.
        head_channels: width of a head's queries and keys. Default: 0.2·C / heads, at least 20.
        value_channels: width of a head's values, and so of the share of the output that comes from
            attention. Default: 0.1·C / heads, at least 1.
        table_size: side of the map for which distances have a vector each. On other maps the
            tables are interpolated: the furthest pair keeps its vector.
        qkv_bias: give queries, keys and values a bias. The keys' share of it has no effect.

    Raises:
        FovealError: if the kernel is even, the heads' values are more than the channels, or a
            number is below 1.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        num_heads: int | None = None,
        head_channels: int | None = None,
        value_channels: int | None = None,
        table_size: int = 14,
        qkv_bias: bool = True,
    ):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise FovealError(f"kernel_size={kernel_size} must be odd, to keep the map's size")
        if num_heads is None:
            num_heads = max(1, min(8, channels // 8))
        if num_heads < 1 or table_size < 1:
            raise FovealError(f"num_heads={num_heads}, table_size={table_size} must be at least 1")
        if head_channels is None:
            head_channels = max(20, round(0.2 * channels / num_heads))
        if value_channels is None:
            value_channels = max(1, round(0.1 * channels / num_heads))
        self.value_width = num_heads * value_channels
        if min(head_channels, value_channels) < 1 or self.value_width > channels:
            raise FovealError(
                f"head_channels={head_channels} and value_channels={value_channels} must be "
                f"positive, and {num_heads} heads' values no more than channels={channels}"
            )
        self.num_heads, self.head_channels = num_heads, head_channels
        self.value_channels, self.qkv_bias = value_channels, qkv_bias
        self.conv_channels, self.taps = channels - self.value_width, kernel_size**2
        self.widths = [num_heads * head_channels] * 2 + [self.value_width]
        self.inner, self.offsets = sum(self.widths), 2 * table_size - 1
        self.conv = None
        if self.conv_channels:
            self.conv = nn.Conv2d(
                channels, self.conv_channels, kernel_size, padding=kernel_size // 2
            )
        self.qkv = nn.Conv2d(channels, self.inner, 1, bias=qkv_bias)
        self.proj = nn.Conv2d(self.value_width, self.value_width, 1)
        std = head_channels**-0.5
        self.row_table = nn.Parameter(torch.randn(self.offsets, head_channels) * std)
        self.column_table = nn.Parameter(torch.randn(self.offsets, head_channels) * std)

    def _heads(self, x: Map) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys, lengthened by rows and columns, and values: (B, heads, N, width)."""
        height, width = x.shape[2:]
        parts = self.qkv(x).split(self.widths, dim=1)
        q, k, v = (part.unflatten(1, (self.num_heads, -1)) for part in parts)
        by_row = torch.einsum("bndhw,hdj->bnhwj", q, self._distances(self.row_table, height))
        by_column = torch.einsum("bndhw,wdj->bnhwj", q, self._distances(self.column_table, width))
        q, k, v = (part.flatten(3).mT for part in (q, k, v))
        q = torch.cat((q, by_row.flatten(2, 3).to(q.dtype), by_column.flatten(2, 3).to(q.dtype)), 3)
        rows = torch.eye(height, dtype=k.dtype, device=k.device)[:, None].expand(-1, width, -1)
        columns = torch.eye(width, dtype=k.dtype, device=k.device).expand(height, -1, -1)
        marks = torch.cat((rows, columns), 2).flatten(0, 1)
        k = torch.cat((k, marks.expand(*k.shape[:2], -1, -1)), 3)
        return q, k, v

    def _distances(self, table: Tensor, length: int) -> Float[Tensor, "n d n"]:
        """The vector for the distance j − i, at [i, :, j]."""
        table = between(self.offsets, 2 * length - 1, table, align_corners=True) @ table
        here = torch.arange(length, device=table.device)
        return table[here - here[:, None] + (length - 1)].mT

    def attention_map(self, x: Map) -> Float[Tensor, "b heads n n"]:
        """How much each position takes from each, per head; rows sum to 1. Forms N × N."""
        q, k, _ = self._heads(x)
        return attention_weights(q, k, scale=self.head_channels**-0.5)

    def forward(self, x: Map) -> Map:
        q, k, v = self._heads(x)
        heads = attend(q, k, v, scale=self.head_channels**-0.5)
        y = self.proj(heads.mT.flatten(1, 2).unflatten(2, x.shape[2:]))
        return y if self.conv is None else torch.cat((self.conv(x), y), 1)
