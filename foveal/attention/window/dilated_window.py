"""Sliding windows, dilated differently for different heads."""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.edges import neighbours_inside
from foveal.ops.heads import heads_for
from foveal.ops.neighbours import check_odd, score_neighbours, weigh_neighbours


@register_attention("dilated_window", paper="Jiao et al., DilateFormer: Multi-Scale Dilated "
                    "Transformer for Visual Recognition, TMM 2023", arxiv="2302.01791")  # fmt: skip
class DilatedWindow(nn.Module):
    r"""Let each head attend to the nine positions around, some heads near by, others further out.

    $$y = [y^{1}, \dots, y^{n}]\, W_O, \qquad y^{r}_{ij} = \sum_{p, q \in \{-1, 0, 1\}}
    \mathrm{softmax}_{pq}\big(q_{ij}^\top k_{i + r p,\, j + r q} / \sqrt{d}\big)\,
    v_{i + r p,\, j + r q}$$

    The window slides with the position, as a convolution's does, and dilation widens it without
    more keys. Heads with rates of 1, 2 and 3 see three scales at once. There is no bias by
    position: a neighbour is known by its content alone.

    Placed: in the blocks of DilateFormer's first two stages, before the perceptron.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 4·C² + C + 3·qkv_bias·C.
    Multiply-adds: N·(4·C² + C + 3·C·kernel_size² + 2·num_heads·kernel_size²).

    Args:
        channels: channels C of the feature map.
        num_heads: heads of all rates together. Default: the paper's 8, or fewer where a head would
            have less than four channels.
        kernel_size: k, odd.
        dilation: the rates. The heads are shared out among them in this order, as evenly as they
            can be; with fewer heads than rates the last rates have none.
        qkv_bias: give queries, keys and values a bias.
        mask_edges: see nothing beyond the edge of the map, where otherwise zeros take part.

    Raises:
        FovealError: if the heads do not divide the channels, the size is even, or a rate not
            positive.

    Departs: The paper shares the heads out evenly and refuses numbers that are no multiple of the
    rates.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        kernel_size: int = 3,
        dilation: Sequence[int] = (1, 2, 3),
        qkv_bias: bool = False,
        mask_edges: bool = False,
    ):
        super().__init__()
        if not dilation:
            raise FovealError(f"dilation={dilation} must name at least one rate")
        for rate in dilation:
            check_odd(kernel_size, rate)
        self.num_heads = heads_for(channels, num_heads)
        self.kernel_size, self.qkv_bias, self.mask_edges = kernel_size, qkv_bias, mask_edges
        each, more = divmod(self.num_heads, len(dilation))
        shares = [each + (place < more) for place in range(len(dilation))]
        self.shares = [share for share in shares if share]
        self.dilation = list(dilation)[: len(self.shares)]
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=qkv_bias)
        self.proj = nn.Conv2d(channels, channels, 1)

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        qkv = rearrange(self.qkv(x), "b (t h d) y x -> t b h d y x", t=3, h=self.num_heads)
        return qkv.unbind(0)

    def _weights(self, q: Tensor, k: Tensor) -> Tensor:
        """(B, heads, k², H, W)."""
        (height, width), size = q.shape[-2:], self.kernel_size
        q = q * q.shape[2] ** -0.5
        scores = []
        for rate, query, key in zip(
            self.dilation, q.split(self.shares, 1), k.split(self.shares, 1), strict=True
        ):
            score = score_neighbours(query, key, size, rate)
            if self.mask_edges:
                inside = neighbours_inside(height, width, size, rate, q.device)
                score = torch.where(inside, score, float("-inf"))
            scores.append(score)
        return torch.cat(scores, dim=1).softmax(2)

    def attention_map(self, x: Map) -> Float[Tensor, "b heads h w n"]:
        """How much each position takes from each of its neighbours; rows sum to 1."""
        q, k, _ = self._heads(x)
        return self._weights(q, k).movedim(2, -1)

    def forward(self, x: Map) -> Map:
        q, k, v = self._heads(x)
        weights = self._weights(q, k)[:, :, None]
        parts = zip(
            self.dilation, v.split(self.shares, 1), weights.split(self.shares, 1), strict=True
        )
        y = [weigh_neighbours(value, part, self.kernel_size, rate) for rate, value, part in parts]
        return self.proj(torch.cat(y, dim=1).flatten(1, 2))
