"""Attention of blocks to themselves and a halo around them."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.attend import attend, attention_weights
from foveal.ops.pieces import in_pieces
from foveal.ops.width import fitting_groups
from foveal.ops.window import crop, join_windows, pad_to_multiple, padded_size, split_windows


@register_attention("halo", paper="Vaswani et al., Scaling Local Self-Attention for Parameter "
                    "Efficient Visual Backbones, CVPR 2021", arxiv="2103.12731")  # fmt: skip
class Halo(nn.Module):
    r"""Let the positions of a block attend to the block and to a margin of its surroundings.

    $$y_i = \sum_{j \in \mathcal{N}(i)} \mathrm{softmax}_j\big(q_i^\top k_j / \sqrt{d}
    + q_i^\top (r^h_{j-i} + r^w_{j-i})\big)\, v_j$$

    Every position of a block has the same neighbourhood, the block of b × b widened by h on each
    side, so that its keys are gathered once; and blocks overlap in what they see, so that nothing
    need be shifted. How well a relative position suits is asked of the query: its embedding is a
    row's and a column's, which all heads share.

    Placed: in place of the 3 × 3 convolution of ResNet's bottlenecks.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·(2·inner + C) + qkv_bias·(2·inner + C)
    + 2·(block_size + reach − 1)·head_channels.
    Multiply-adds: N·C·(2·inner + C) + ceil(H / block_size)·ceil(W / block_size)·block_size²
    ·num_heads·(reach²·(2·max(head_channels, value_channels) + 1) + 2·reach·head_channels).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the largest number up to 8 that divides the channels.
        head_channels: width of a head's queries and keys. Default: C / num_heads.
        block_size: b, height and width of a block.
        halo_size: h, how far a block sees beyond its edge.
        qkv_bias: give queries, keys and values a bias.
        scale_positions: divide by √d what positions add to the scores, too.
        mask_edges: see nothing beyond the edge of the map, where otherwise zeros take part.

    Raises:
        FovealError: if the heads do not divide the channels, or a size is not positive.

    Departs: timm's weights are of maps that end in zeros, which take part (`mask_edges=False`).
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        head_channels: int | None = None,
        block_size: int = 8,
        halo_size: int = 3,
        qkv_bias: bool = False,
        scale_positions: bool = False,
        mask_edges: bool = True,
    ):
        super().__init__()
        num_heads = fitting_groups(channels, 8) if num_heads is None else num_heads
        if num_heads < 1 or channels % num_heads:
            raise FovealError(f"channels={channels} do not divide into num_heads={num_heads}")
        self.num_heads, self.value_channels = num_heads, channels // num_heads
        self.head_channels = self.value_channels if head_channels is None else head_channels
        if block_size < 1 or halo_size < 0 or self.head_channels < 1:
            raise FovealError(
                f"block_size={block_size} and head_channels={head_channels} must be positive, "
                f"halo_size={halo_size} not negative"
            )
        self.block_size, self.halo_size = block_size, halo_size
        self.reach = block_size + 2 * halo_size
        self.inner = num_heads * self.head_channels
        self.qkv_bias, self.scale_positions = qkv_bias, scale_positions
        self.mask_edges = mask_edges
        self.query = nn.Conv2d(channels, self.inner, 1, bias=qkv_bias)
        self.key_value = nn.Conv2d(channels, self.inner + channels, 1, bias=qkv_bias)
        shape = self.reach + block_size - 1, self.head_channels
        self.rows = nn.Parameter(torch.empty(shape))  # from the furthest above to that below
        self.columns = nn.Parameter(torch.empty(shape))
        nn.init.trunc_normal_(self.rows, std=self.head_channels**-0.5)
        nn.init.trunc_normal_(self.columns, std=self.head_channels**-0.5)

    def _blocks(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Queries, keys and values of each block and head, and what positions add to the scores."""
        side, reach = self.block_size, self.reach
        q = split_windows(pad_to_multiple(self.query(x), (side, side)), (side, side))
        q = rearrange(q, "b m n (h d) -> b (m h) n d", h=self.num_heads)
        kv = pad_to_multiple(self.key_value(x), (side, side))
        kv = F.pad(kv, (self.halo_size,) * 4).unfold(2, reach, side).unfold(3, reach, side)
        kv = rearrange(kv, "b (h d) m n y x -> b (m n h) (y x) d", h=self.num_heads)
        k, v = kv.split((self.head_channels, self.value_channels), dim=-1)
        return q, k, v, self._positions(q, x)

    def _positions(self, q: Tensor, x: Tensor) -> Tensor:
        grid = q.unflatten(2, (self.block_size, self.block_size))
        if self.scale_positions:
            grid = grid * self.head_channels**-0.5
        rows, columns = (  # (position in the block, channel, position in the neighbourhood)
            table.unfold(0, self.reach, 1).flip(0) for table in (self.rows, self.columns)
        )
        of_rows = torch.einsum("bhyxd,ydi->bhyxi", grid, rows)
        of_columns = torch.einsum("bhyxd,xdj->bhyxj", grid, columns)
        if self.mask_edges:  # here, before the sum makes a score for each pair
            rows, columns = (self._seen(size, x.device) for size in x.shape[2:])
            of_rows, of_columns = (
                t.unflatten(1, (len(rows), len(columns), -1)) for t in (of_rows, of_columns)
            )
            off = float("-inf")
            of_rows = of_rows.masked_fill(~rows[:, None, None, None, None], off).flatten(1, 3)
            of_columns = of_columns.masked_fill(~columns[:, None, None, None], off).flatten(1, 3)
        return (of_rows[..., None] + of_columns[..., None, :]).flatten(4).flatten(2, 3)

    def _seen(self, size: int, device: torch.device) -> Float[Tensor, "blocks reach"]:
        """Which keys along an axis lie on the map, for each block: always some, its own."""
        first = torch.arange(0, padded_size(size, self.block_size), self.block_size, device=device)
        near = torch.arange(self.reach, device=device) - self.halo_size + first[:, None]
        return (near >= 0) & (near < size)

    def attention_map(self, x: Map) -> Float[Tensor, "b blocks heads n m"]:
        """How much each position of a block takes from each of its neighbourhood; rows sum to 1."""
        q, k, _, bias = self._blocks(x)
        return attention_weights(q, k, bias=bias).unflatten(1, (-1, self.num_heads))

    def forward(self, x: Map) -> Map:
        return in_pieces(self._attend, x, 4)  # neighbourhoods overlap: fifteen maps are held

    def _attend(self, x: Map) -> Map:
        height, width = x.shape[2:]
        q, k, v, bias = self._blocks(x)
        y = attend(q, k, v, bias=bias)
        y, side = rearrange(y, "b (m h) n d -> b m n (h d)", h=self.num_heads), self.block_size
        return crop(join_windows(y, (side, side), padded_size(height, side)), height, width)
