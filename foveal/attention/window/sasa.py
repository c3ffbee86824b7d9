"""Self-attention in place of a convolution."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.edges import neighbours_inside
from foveal.ops.heads import heads_for
from foveal.ops.neighbours import check_odd, score_neighbours, weigh_neighbours


@register_attention("sasa", paper="Ramachandran et al., Stand-Alone Self-Attention in Vision "
                    "Models, NeurIPS 2019", arxiv="1906.05909")  # fmt: skip
class SASA(nn.Module):
    r"""Weigh each position's k × k neighbours by how they match it and by where they lie.

    $$y_{ij} = \sum_{ab \in \mathcal{N}_k(ij)} \mathrm{softmax}_{ab}\big(q_{ij}^\top k_{ab}
    + q_{ij}^\top [r_{a-i};\, r_{b-j}]\big)\, v_{ab}$$

    It stands where a k × k convolution would, but its weights are the image's own and each position
    is the middle of its neighbourhood, as no window's is. Half of a head's query asks after the
    neighbour's row, half after its column. Scores are not divided by √d.

    Placed: in place of the spatial convolutions of ResNet's bottlenecks.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 3·C² + kernel_size·C.
    Multiply-adds: N·(3·C² + 3·C·kernel_size² + C·kernel_size + 4·num_heads·kernel_size²).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the paper's 8, or fewer where a head would have less than four
            channels.
        kernel_size: k, odd.
        dilation: distance between neighbours.
        mask_edges: see nothing beyond the edge of the map, where otherwise zeros take part.

    Raises:
        FovealError: if the heads do not divide the channels, or the size is even.

    Departs: The paper does not say what lies beyond the edge; widespread code puts zeros there
    (`mask_edges=False`).
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        kernel_size: int = 7,
        dilation: int = 1,
        mask_edges: bool = True,
    ):
        super().__init__()
        check_odd(kernel_size, dilation)
        self.num_heads = heads_for(channels, num_heads)
        self.kernel_size, self.dilation, self.mask_edges = kernel_size, dilation, mask_edges
        width = channels // self.num_heads
        self.halves = (width + 1) // 2, width // 2
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.rows, self.columns = (
            nn.Parameter(torch.randn(self.num_heads, half, kernel_size) * max(width, 1) ** -0.5)
            for half in self.halves
        )

    def _weights(self, q: Tensor, k: Tensor) -> Tensor:
        size = self.kernel_size
        for_row, for_column = q.split(self.halves, dim=2)
        rows = torch.einsum("bhdyx,hdi->bhiyx", for_row, self.rows)
        columns = torch.einsum("bhdyx,hdj->bhjyx", for_column, self.columns)
        positions = (rows[:, :, :, None] + columns[:, :, None]).flatten(2, 3)
        scores = score_neighbours(q, k, size, self.dilation) + positions
        if self.mask_edges:
            height, width = q.shape[-2:]
            inside = neighbours_inside(height, width, size, self.dilation, q.device)
            scores = torch.where(inside, scores, float("-inf"))
        return scores.softmax(2)

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        qkv = rearrange(self.qkv(x), "b (t h d) y x -> t b h d y x", t=3, h=self.num_heads)
        return qkv.unbind(0)

    def attention_map(self, x: Map) -> Float[Tensor, "b heads h w n"]:
        """How much each position takes from each of its neighbours; rows sum to 1."""
        q, k, _ = self._heads(x)
        return self._weights(q, k).movedim(2, -1)

    def forward(self, x: Map) -> Map:
        q, k, v = self._heads(x)
        weights = self._weights(q, k)[:, :, None]
        return weigh_neighbours(v, weights, self.kernel_size, self.dilation).flatten(1, 2)
