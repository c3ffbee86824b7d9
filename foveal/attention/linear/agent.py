"""Agent attention."""

from math import isqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import heads_for, merge_heads, split_heads
from foveal.ops.resize import adaptive_means, between, bilinear
from foveal.ops.window import Size, pair


@register_attention("agent", paper="Han et al., Agent Attention, ECCV 2024", arxiv="2312.08874")
class Agent(nn.Module):
    r"""Let a few pooled queries attend for all, and every position attend to what they found.

    $$y = W_O\Big(\mathrm{softmax}\big(Q A^\top / \sqrt{d} + B_2\big)\,
    \mathrm{softmax}\big(A K^\top / \sqrt{d} + B_1\big)\,V + \mathrm{dwconv}_{3 \times 3}\,V\Big),
    \quad A = \mathrm{pool}_{p \times p}\,Q$$

    Both softmaxes are those of self-attention, yet no weights between pairs of positions appear:
    there are p² agents, whatever the map. Nyström attention needs the inverse of a third matrix.
    The biases B say which agent is for which place; each is the sum of a 7 × 7 table and of one
    along each axis, and all are stretched to the map.

    Placed: in place of self-attention in DeiT, PVT, Swin and CSWin.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 4·C² + qkv_bias·3·C + 11·C + 2·num_heads·num_tokens·(49 + window_height
    + window_width).
    Multiply-adds: N·(4·C² + 10·C + 4·num_tokens·C) + num_tokens·C² + side·C·(N + side·W)
    + 2·num_heads·num_tokens·(7·H·(7 + W) + window_height·H + window_width·W + 2·N).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: 8, or fewer where 8 does not divide the channels.
        num_tokens: agents, p² of them.
        window_size: height and width for which the tables along the axes are learned. At another
            size they are stretched or squeezed, linearly.
        qkv_bias: give queries, keys and values a bias. The keys' share of it has no effect, for the
            softmax cancels it.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if the heads do not divide the channels, or the agents make no square.

    Departs: The authors' tables along the axes fit one size of map only.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        num_tokens: int = 49,
        window_size: int | Size = 14,
        qkv_bias: bool = False,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.num_heads = heads_for(channels, num_heads)
        self.side = isqrt(max(0, num_tokens))
        if num_tokens < 1 or self.side**2 != num_tokens:
            raise FovealError(f"num_tokens={num_tokens} must be a square number, such as 49")
        self.num_tokens, self.qkv_bias = num_tokens, qkv_bias
        self.window_height, self.window_width = window = pair(window_size)
        self.attention_dropout = attention_dropout
        self.qkv = nn.Linear(channels, 3 * channels, bias=qkv_bias)
        self.of_keys = Positions(self.num_heads, num_tokens, window)
        self.of_queries = Positions(self.num_heads, num_tokens, window)
        self.local = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.proj = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def _agents(self, x: Map) -> Float[Tensor, "b heads agents d"]:
        # The mean of the queries is the query of the mean.
        means = adaptive_means(x, self.side, self.side).flatten(2).mT
        bias = self.qkv.bias[: self.channels] if self.qkv_bias else None
        return split_heads(F.linear(means, self.qkv.weight[: self.channels], bias), self.num_heads)

    def _attend(
        self, agents: Tensor, q: Tensor, k: Tensor, v: Tensor, biases: list[Tensor]
    ) -> Float[Tensor, "b n c"]:
        """What the queries find through the agents."""
        queries, keys, values = (split_heads(part, self.num_heads) for part in (q, k, v))
        dropout = self.attention_dropout if self.training else 0.0
        found = attend(agents, keys, values, bias=biases[0], dropout=dropout)
        return merge_heads(attend(queries, agents, found, bias=biases[1].mT, dropout=dropout))

    def attention_map(self, x: Map) -> Float[Tensor, "b heads agents n"]:
        """How much each agent takes from each position; over all positions it sums to 1."""
        _, k, _ = self.qkv(x.flatten(2).mT).chunk(3, -1)
        bias = self.of_keys(*x.shape[2:])
        return attention_weights(self._agents(x), split_heads(k, self.num_heads), bias=bias)

    def forward(self, x: Map) -> Map:
        size = x.shape[2:]
        q, k, v = self.qkv(x.flatten(2).mT).chunk(3, -1)
        biases = [self.of_keys(*size), self.of_queries(*size)]
        local = self.local(v.mT.unflatten(2, size)).flatten(2).mT
        y = self.proj(self._attend(self._agents(x), q, k, v, biases) + local)
        return self.dropout(y).mT.unflatten(2, size)


class Positions(nn.Module):
    """What the pairs of an agent and a position on a map of any size are given besides."""

    def __init__(self, num_heads: int, num_tokens: int, window: Size):
        super().__init__()
        self.grid, self.rows, self.columns = (
            nn.Parameter(
                nn.init.trunc_normal_(torch.empty(num_heads, num_tokens, *shape), std=0.02)
            )
            for shape in ((7, 7), window[:1], window[1:])
        )

    def forward(self, height: int, width: int) -> Float[Tensor, "heads agents n"]:
        rows, columns = (
            table @ between(table.shape[-1], size, table, align_corners=False).mT
            for table, size in ((self.rows, height), (self.columns, width))
        )
        grid = bilinear(self.grid, height, width, align_corners=False)
        return (grid + rows[..., :, None] + columns[..., None, :]).flatten(2)
