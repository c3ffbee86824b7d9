"""CoAtNet's transformer block."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.activation import activation
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import head_count, merge_heads, split_heads
from foveal.ops.width import hidden_width


@register_attention(
    "coatnet",
    paper="Dai et al., CoAtNet: Marrying Convolution and Attention, NeurIPS 2021",
    arxiv="2106.04803",
)
class CoAtNet(nn.Module):
    r"""Attend over the whole map by content and by a learned kernel as large as the map.

    $$y = z + \mathrm{MLP}(\mathrm{LN}(z)), \quad z = x + W_O \sum_j \mathrm{softmax}_j\big(
    q_i^\top k_j / \sqrt{d} + w_{i - j}\big)\, v_j$$

    The kernel w is a depthwise convolution's, one number for each head and relative position, put
    inside the softmax: where the content says nothing, what is left is a convolution of all the
    map. It has no other form than a number for each pair, so N × N numbers per head are formed
    once for all images.

    Placed: in the last two stages of CoAtNet, after stages of convolutions.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 4·C² + qkv_bias·3·C + 2·C·hidden + hidden + 6·C + num_heads·offsets².
    Multiply-adds: N·(4·C² + 2·C·hidden + 2·N·C + 10·C)
    + num_heads·offsets·(2·H − 1)·(offsets + 2·W − 1) + 4·offsets·(H + W − 1).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the paper's, one for 32 channels, or as many as divide them.
        hidden: width of the perceptron. Default: 4 · C.
        table_size: side of the map that the kernel is learned on. For another it is stretched,
            linearly: the furthest pair of each axis keeps its number.
        qkv_bias: give queries, keys and values a bias. The keys' share of it has no effect.
        act: activation of the perceptron, by name.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output of a layer in training.

    Raises:
        FovealError: if the heads do not divide the channels, a number is below 1, or the activation
            is unknown.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        hidden: int | None = None,
        table_size: int = 14,
        qkv_bias: bool = True,
        act: str = "gelu",
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        if table_size < 1:
            raise FovealError(f"table_size={table_size} must be at least 1")
        self.num_heads = head_count(channels, num_heads)
        self.hidden = hidden_width(4 * channels, 1, hidden=hidden)
        self.table_size, self.offsets = table_size, 2 * table_size - 1
        self.qkv_bias, self.attention_dropout = qkv_bias, attention_dropout
        self.attn_norm, self.mlp_norm = (nn.LayerNorm(channels, eps=1e-6) for _ in range(2))
        self.qkv = nn.Linear(channels, 3 * channels, bias=qkv_bias)
        self.table = nn.Parameter(torch.empty(self.num_heads, self.offsets, self.offsets))
        nn.init.trunc_normal_(self.table, std=0.02)
        self.proj = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)
        self.mlp = nn.Sequential(
            nn.Linear(channels, self.hidden),
            activation(act),
            nn.Dropout(dropout),
            nn.Linear(self.hidden, channels),
            nn.Dropout(dropout),
        )

    def _bias(self, height: int, width: int) -> Float[Tensor, "heads n n"]:
        """The number for the relative position i − j of each pair."""
        rows, columns = self._stretch(height), self._stretch(width)
        grid = rows @ self.table @ columns.mT
        y, x = (torch.arange(side, device=grid.device) for side in (height, width))
        y = y[:, None, None, None] - y[:, None] + (height - 1)  # (H, 1, H, 1)
        x = x[:, None, None] - x + (width - 1)  # (W, 1, W)
        return grid[:, y, x].flatten(3).flatten(1, 2)

    def _stretch(self, length: int) -> Float[Tensor, "p q"]:
        """The weights of the table's offsets at each of the 2·length − 1 of an axis."""
        wide = torch.promote_types(self.table.dtype, torch.float32)
        here = torch.arange(2 * length - 1, device=self.table.device, dtype=wide)
        scale = (self.table_size - 1) / max(length - 1, 1)
        place = (here - (length - 1)) * scale + (self.table_size - 1)
        known = torch.arange(self.offsets, device=here.device)
        return (1 - (place[:, None] - known).abs()).clamp(min=0).to(self.table.dtype)

    def _heads(self, x: Map) -> tuple[Tensor, Tensor, Tensor]:
        parts = self.qkv(self.attn_norm(x.flatten(2).mT)).chunk(3, -1)
        q, k, v = (split_heads(part, self.num_heads) for part in parts)
        return q, k, v

    def attention_map(self, x: Map) -> Float[Tensor, "b heads n n"]:
        """How much each position takes from each, per head; rows sum to 1."""
        q, k, _ = self._heads(x)
        return attention_weights(q, k, bias=self._bias(*x.shape[2:]).to(q.dtype))

    def forward(self, x: Map) -> Map:
        q, k, v = self._heads(x)
        dropout = self.attention_dropout if self.training else 0.0
        taken = attend(q, k, v, bias=self._bias(*x.shape[2:]).to(q.dtype), dropout=dropout)
        z = x.flatten(2).mT + self.dropout(self.proj(merge_heads(taken)))
        y = z + self.mlp(self.mlp_norm(z))
        return y.mT.unflatten(2, x.shape[2:])
