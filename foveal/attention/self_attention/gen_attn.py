"""Generalized attention."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.attend import attend, attention_weights, bounded_queries
from foveal.ops.heads import heads_for, merge_heads, split_heads

_LONGEST_WAVE = 1000


@register_attention(
    "gen_attn",
    paper="Zhu et al., An Empirical Study of Spatial Attention Mechanisms in Deep Networks, "
    "ICCV 2019",
    arxiv="1904.05873",
)
class GeneralizedAttention(nn.Module):
    r"""Attend by any of four reasons: two contents, a query's wish of place, a key, a place.

    $$y = x + \gamma\, W_o \textstyle\sum_m \mathrm{softmax}_m\big(q_n^\top k_m + q_n^\top r_{nm}
    + u^\top k_m + v^\top r_{nm}\big)\, W_v x_m, \quad
    r_{nm} = \tfrac{1}{\sqrt 2}\big(W_r\,\phi(i_n - i_m) + W_c\,\phi(j_n - j_m)\big)$$

    $\phi$ are sines and cosines of an offset, so places are known on a map of any size. The paper
    takes Transformer attention apart: `attention_type` has a bit for each of the four terms. The
    scores are not divided by the root of their width. They are carried by longer queries and keys,
    and no N × M table of them is formed. Born an identity.

    Placed: after the 3 × 3 convolution of the bottlenecks in the two last stages of a ResNet.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·inner·(2 + asks + keys) + C + 1 + places·4·waves·inner
    + (salient + placed)·inner.
    Multiply-adds: N·C·(1 + asks·inner) + N·inner·asks·(salient·content + place·placed)
    + ceil(H/key_stride)·ceil(W/key_stride)·C·inner·(1 + keys) + places·4·(H + W − 1)·waves·inner
    + place·N·inner·(ceil(H/key_stride) + ceil(W/key_stride))
    + (places − place)·inner·(H·ceil(H/key_stride) + W·ceil(W/key_stride))
    + (1 + each·(N − 1))·(C·inner + num_heads·(keys·head_channels
    + places·(ceil(H/key_stride) + ceil(W/key_stride)))
    + 2·num_heads·ceil(H/key_stride)·ceil(W/key_stride)·max(head_channels,
    keys·head_channels + (places + limited − places·limited)·(ceil(H/key_stride)
    + ceil(W/key_stride)))).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the paper's 8, or fewer where a head would have less than four
            channels.
        attention_type: four bits, for the terms of the formula in their order: query and key
            content, query content and relative position, key content, relative position.
        spatial_range: how far a key may be from its query, in rows and in columns; None for
            anywhere.
        key_stride: every how many rows and columns there is a key.
        head_channels: width of a head. Default: C / num_heads.

    Raises:
        FovealError: if the heads do not divide the channels, no term is left, or a width, range or
            stride is too small.

    Departs: With key content alone and a `spatial_range`, every query sees what is near it; mmcv's
    code gives all of them what is near the first. With query content and relative position but not
    position alone, mmcv's code takes another query's wish for rows; here it is the query's own.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        attention_type: str = "1111",
        spatial_range: int | None = None,
        key_stride: int = 2,
        head_channels: int | None = None,
    ):
        super().__init__()
        bits = str(attention_type)
        if len(bits) != 4 or set(bits) - {"0", "1"} or "1" not in bits:
            raise FovealError(
                f"attention_type={attention_type!r} must be four bits, not all 0, such as '0010'"
            )
        if spatial_range is not None and spatial_range < 0:
            raise FovealError(f"spatial_range={spatial_range} must be at least 0, or None")
        if key_stride < 1:
            raise FovealError(f"key_stride={key_stride} must be at least 1")
        if head_channels is not None and (head_channels < 1 or (num_heads or 1) < 1):
            raise FovealError(
                f"head_channels={head_channels} and num_heads={num_heads} must be at least 1"
            )
        if head_channels is None:
            self.num_heads = heads_for(channels, num_heads)
            self.head_channels = channels // self.num_heads
        else:
            self.num_heads = heads_for(channels, None) if num_heads is None else num_heads
            self.head_channels = head_channels
        self.content, self.place, self.salient, self.placed = (bit == "1" for bit in bits)
        self.asks, self.keys = self.content or self.place, self.content or self.salient
        self.places = self.place or self.placed
        self.spatial_range, self.key_stride = spatial_range, key_stride
        self.limited = spatial_range is not None
        self.alike = bits == "0010" and not self.limited  # every query has the same weights
        self.each = not self.alike
        inner = self.inner = self.num_heads * self.head_channels
        self.waves = max(1, channels // 4)
        self.value = nn.Linear(channels, inner, bias=False)
        if self.asks:
            self.query = nn.Linear(channels, inner, bias=False)
        if self.keys:
            self.key = nn.Linear(channels, inner, bias=False)
        if self.places:
            self.rows = nn.Linear(2 * self.waves, inner, bias=False)
            self.columns = nn.Linear(2 * self.waves, inner, bias=False)
        self.proj = nn.Linear(inner, channels)
        for layer in self.children():
            nn.init.kaiming_uniform_(layer.weight, a=1)  # pyright: ignore[reportArgumentType]
        nn.init.zeros_(self.proj.bias)
        bound = (2 * self.head_channels) ** -0.5
        shape = self.num_heads, 1, self.head_channels
        if self.salient:
            self.of_key = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        if self.placed:
            self.of_place = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.gamma = nn.Parameter(torch.zeros(()))

    def _offset_vectors(
        self, layer: nn.Linear, side: int, keys: int, like: Tensor
    ) -> Float[Tensor, "heads side keys d"]:
        """r of each place along an axis and each key's: made once per offset, then laid out."""
        exact = {"device": like.device, "dtype": torch.promote_types(like.dtype, torch.float32)}
        steps, wave = torch.arange(2 * side - 1, **exact), torch.arange(self.waves, **exact)
        angles = (steps - (side - 1))[:, None] * _LONGEST_WAVE ** (-wave / self.waves)
        waves = torch.cat((angles.sin(), angles.cos()), dim=1).to(like.dtype)
        vectors = split_heads(layer(waves * 0.5**0.5)[None], self.num_heads)[0]
        places = torch.arange(side, device=like.device)[:, None] + (side - 1)
        return vectors[:, places - torch.arange(keys, device=like.device) * self.key_stride]

    def _place_scores(self, q: Tensor | None, x: Map, keys: tuple[int, int]) -> list[Tensor]:
        """What a query gets from each row and from each column of keys: (B, heads, N, keys)."""
        height, width = x.shape[2:]
        rows = self._offset_vectors(self.rows, height, keys[0], x)
        columns = self._offset_vectors(self.columns, width, keys[1], x)
        if q is not None and self.place:
            by = (q + self.of_place if self.placed else q).unflatten(2, (height, width))
            of_rows = torch.einsum("bmhwd,mhkd->bmhwk", by, rows)
            of_columns = torch.einsum("bmhwd,mwkd->bmhwk", by, columns)
        else:
            of_rows, of_columns = (t @ self.of_place.mT[:, None] for t in (rows, columns))
            of_rows = of_rows.mT.expand(x.shape[0], -1, -1, width, -1)
            of_columns = of_columns.mT.transpose(1, 2).expand(x.shape[0], -1, height, -1, -1)
        return [of_rows.flatten(2, 3), of_columns.flatten(2, 3)]

    def _near(self, x: Map, keys: tuple[int, int], content: int) -> Tensor:
        """Which of a query's numbers stand: those of its content, and of near rows and columns."""
        radius, stride = self.spatial_range or 0, self.key_stride
        near = []
        for side, count in zip(x.shape[2:], keys, strict=True):
            query = torch.arange(side, device=x.device)[:, None]
            key = torch.arange(count, device=x.device)
            near.append(
                (key >= (query - radius) // stride) & (key <= (query + radius + 1) // stride)
            )
        rows, columns = near[0][:, None], near[1][None]
        shape = near[0].shape[0], near[1].shape[0]
        parts = (
            torch.ones(1, 1, content, dtype=torch.bool, device=x.device).expand(*shape, -1),
            rows.expand(-1, shape[1], -1),
            columns.expand(shape[0], -1, -1),
        )
        return torch.cat(parts, dim=-1).flatten(0, 1)

    def _project(self, x: Map) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys whose products are the scores, and values."""
        tokens = rearrange(x, "b c h w -> b (h w) c").contiguous()
        pooled = F.avg_pool2d(x, 1, self.key_stride) if self.key_stride > 1 else x
        height, width = keys = pooled.shape[2], pooled.shape[3]
        seen = rearrange(pooled, "b c h w -> b (h w) c") if self.key_stride > 1 else tokens
        v = split_heads(self.value(seen), self.num_heads)
        q = split_heads(self.query(tokens), self.num_heads) if self.asks else None
        wants, offers = [], []
        if self.keys:
            offers.append(split_heads(self.key(seen), self.num_heads))
            if q is not None and self.content:
                wants.append(q + self.of_key if self.salient else q)
            else:
                queries = 1 if self.alike else tokens.shape[1]
                wants.append(self.of_key.expand(x.shape[0], -1, queries, -1))
        if self.places or self.limited:
            row = torch.eye(height, dtype=v.dtype, device=v.device)[:, None].expand(-1, width, -1)
            column = torch.eye(width, dtype=v.dtype, device=v.device).expand(height, -1, -1)
            here = torch.cat((row, column), -1).flatten(0, 1)
            offers.append(here.expand(*v.shape[:2], -1, -1))
            if self.places:
                wants += self._place_scores(q, x, keys)
            else:
                wants.append(v.new_zeros(()).expand(*v.shape[:2], tokens.shape[1], height + width))
        want, offer = torch.cat(wants, -1), torch.cat(offers, -1)
        want = bounded_queries(want, offer, scale=1.0)
        if self.limited:  # twice the lowest number that is used must still be a number
            near = self._near(x, keys, self.keys * self.head_channels)
            want = torch.where(near, want, torch.finfo(want.dtype).min / 4)
        return want, offer, v

    def attention_map(self, x: Map) -> Float[Tensor, "b heads n m"]:
        """How much each position takes from each key's, per head; rows sum to 1. With key content
        alone, and no range, there is one row for all. Forms N × M."""
        q, k, _ = self._project(x)
        return attention_weights(q, k, scale=1.0)

    def forward(self, x: Map) -> Map:
        y = self.proj(merge_heads(attend(*self._project(x), scale=1.0)))
        # Where every query has the same weights there is one result, for all positions.
        result = y.mT[..., None] if self.alike else y.mT.unflatten(2, x.shape[2:])
        return torch.addcmul(x, self.gamma, result)
