"""Attention to the nearest neighbours, as many at the edge as in the middle."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.heads import head_count
from foveal.ops.neighbours import check_odd
from foveal.ops.window import (
    crop,
    join_windows,
    pad_to_multiple,
    padded_size,
    split_windows,
)
from foveal.ops.window_attend import attend_windows, window_weights


@register_attention("neighborhood", paper="Hassani et al., Neighborhood Attention Transformer, "
                    "CVPR 2023", arxiv="2204.07143")  # fmt: skip
class Neighborhood(nn.Module):
    r"""Let each position attend to its k × k nearest, wherever on the map it lies.

    $$y_i = \sum_{j \in \rho_k(i)} \mathrm{softmax}_j\big(q_i^\top k_j / \sqrt{d} + b_{j-i}\big)
    \, v_j\, W_O$$

    In the middle of the map a position is the middle of its neighbourhood. Near the edge the
    neighbourhood stops at the edge and the position moves out of its middle, where a padded
    neighbourhood would lose members. Dilated (DiNA), a position's neighbours are the nearest of
    those whose row and column differ from its own by multiples of the dilation.

    Queries are taken tile by tile, k × k together, with the (2k − 1)² keys among which all their
    neighbours are: no score is formed of positions further apart.

    Placed: in every block of NAT, before the perceptron; in DiNA every second block is dilated.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 4·C² + C + 3·qkv_bias·C + relative_bias·num_heads·(2·kernel_size − 1)².
    Multiply-adds: 4·N·C² + 2·C·(2·kernel_size − 1)²·(dilation·kernel_size)²
    ·ceil(ceil(H / dilation) / kernel_size)·ceil(ceil(W / dilation) / kernel_size).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the paper's, one for 32 channels, or as many as divide them.
        kernel_size: k, odd. Where the map is smaller, the whole map is the neighbourhood.
        dilation: distance between neighbours.
        qkv_bias: give queries, keys and values a bias.
        relative_bias: add a learned number for each head and relative position.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if the heads do not divide the channels, or the size is even.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        kernel_size: int = 7,
        dilation: int = 1,
        qkv_bias: bool = True,
        relative_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        check_odd(kernel_size, dilation)
        self.num_heads = head_count(channels, num_heads)
        self.kernel_size, self.dilation = kernel_size, dilation
        self.qkv_bias, self.relative_bias = qkv_bias, relative_bias
        self.attention_dropout = attention_dropout
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=qkv_bias)
        self.proj = nn.Conv2d(channels, channels, 1)
        self.dropout = nn.Dropout(dropout)
        self.bias: nn.Parameter | None = None  # by neighbour less position, rows first
        if relative_bias:
            side = 2 * kernel_size - 1
            self.bias = nn.Parameter(torch.empty(self.num_heads, side, side))
            nn.init.trunc_normal_(self.bias, std=0.02)

    def _axis(self, size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Along one axis, tile by tile: the positions that ask, those among which their neighbours
        are, which of these each sees, and their relative position in the table. Positions whose
        remainder by the dilation differs are tiles apart."""
        k, dilation, reach = self.kernel_size, self.dilation, 2 * self.kernel_size - 1
        phase = torch.arange(dilation, device=device)[:, None, None]
        length = (size - phase + dilation - 1) // dilation  # of each remainder's own axis
        tiles = padded_size((size + dilation - 1) // dilation, k)
        query = torch.arange(tiles, device=device).view(1, -1, k)
        first = torch.minimum(query[..., :1] - k // 2, length - reach).clamp(min=0)
        key = first + torch.arange(reach, device=device)
        nearest = torch.minimum(query - k // 2, length - k).clamp(min=0)[..., None]
        asks, there = query < length, (key < length)[:, :, None]
        seen = (key[:, :, None] >= nearest) & (key[:, :, None] < nearest + k) & there
        seen = seen | ~asks[..., None]  # padding sees everything, lest its row be empty
        step = (key[:, :, None] - query[..., None] + k - 1).clamp(0, reach - 1)
        places = torch.where(asks, query * dilation + phase, 0).flatten()
        near = torch.where(key < length, key * dilation + phase, 0).flatten()
        return places, near, seen.flatten(0, 1), step.flatten(0, 1)

    def _tiles(self, x: Tensor) -> dict[str, Any]:
        """Queries, keys and values of each tile, their bias and their mask."""
        k, reach = self.kernel_size, 2 * self.kernel_size - 1
        (rows, near_rows, seen_rows, row_steps), (columns, near_columns, seen_columns, steps) = (
            self._axis(size, x.device) for size in x.shape[2:]
        )
        q, kv = self.qkv(x).split((x.shape[1], 2 * x.shape[1]), dim=1)
        if self.dilation == 1:
            q = pad_to_multiple(q, (k, k))
        else:
            q = q.index_select(2, rows).index_select(3, columns)
        kv = kv.index_select(2, near_rows).index_select(3, near_columns)
        key, value = split_windows(kv, (reach, reach)).chunk(2, dim=-1)
        mask = seen_rows[:, None, :, None, :, None] & seen_columns[None, :, None, :, None, :]
        tiles = {"q": split_windows(q, (k, k)), "k": key, "v": value}
        tiles["mask"] = mask.flatten(4).flatten(2, 3).flatten(0, 1)
        if self.bias is not None:
            bias = self.bias.index_select(1, row_steps.flatten()).index_select(2, steps.flatten())
            bias = bias.unflatten(2, steps.shape).unflatten(1, row_steps.shape)
            bias = bias.permute(1, 4, 0, 2, 5, 3, 6)  # (rows, columns of tiles, heads, …)
            tiles["bias"] = bias.flatten(5).flatten(3, 4).flatten(0, 1)
        return tiles

    def attention_map(self, x: Map) -> Float[Tensor, "b tiles heads n m"]:
        """How much each position of a tile of k × k takes from each of the (2k − 1)² around the
        tile; rows sum to 1."""
        tiles = self._tiles(x)
        del tiles["v"]
        return window_weights(**tiles, num_heads=self.num_heads)

    def forward(self, x: Map) -> Map:
        dropout = self.attention_dropout if self.training else 0.0
        y = attend_windows(**self._tiles(x), num_heads=self.num_heads, dropout=dropout)
        k, dilation, (height, width) = self.kernel_size, self.dilation, x.shape[2:]
        tall, wide = (padded_size((s + dilation - 1) // dilation, k) for s in (height, width))
        y = join_windows(y, (k, k), dilation * tall)
        if dilation == 1:
            return self.dropout(self.proj(crop(y, height, width)))
        rows, columns = (
            torch.arange(size, device=x.device) % dilation * side
            + torch.arange(size, device=x.device) // dilation
            for size, side in ((height, tall), (width, wide))
        )
        return self.dropout(self.proj(y.index_select(2, rows).index_select(3, columns)))
