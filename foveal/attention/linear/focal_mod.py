"""Focal modulation."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map


@register_attention("focal_mod", paper="Yang et al., Focal Modulation Networks, NeurIPS 2022",
                    arxiv="2203.11926")  # fmt: skip
class FocalModulation(nn.Module):
    r"""Multiply each position's query by its surroundings, summed from near to far.

    $$y = W_o\Big(q \odot W_h \sum_{\ell=1}^{L+1} g_\ell \odot z_\ell\Big), \quad
    z_\ell = \mathrm{GELU}(\mathrm{dwconv}_\ell(z_{\ell-1})), \quad
    z_{L+1} = \mathrm{GELU}(\mathrm{mean}_{hw}\,z_L)$$

    Attention first compares and then sums up; here the surroundings are summed up first, by
    convolutions of growing size and at last over the whole map, and the query meets one vector.
    Each position decides by its gates g, one number for each level, how far it looks.

    Placed: in place of self-attention in every block, before the perceptron.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·(4·C + num_levels + 1 + taps) + bias·(3·C + num_levels + 1) + C + 2·post_norm·C.
    Multiply-adds: N·C·(4·C + 2·num_levels + 4 + taps + normalize + 4·post_norm).

    Args:
        channels: channels C of the feature map.
        kernel_size: size of the first level's convolution, odd.
        num_levels: L, convolutions; the mean of the whole map is a level more.
        growth: by how much each level's convolution is larger than the last one's, even.
        bias: give the first two layers a bias.
        normalize: divide the sum by the number of levels.
        post_norm: normalise the channels before the last layer, as large models do.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if a convolution's size is not odd, or the levels are none.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        num_levels: int = 2,
        growth: int = 2,
        bias: bool = True,
        normalize: bool = False,
        post_norm: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__()
        sizes = [kernel_size + growth * level for level in range(num_levels)]
        if not sizes or any(k < 1 or k % 2 == 0 for k in sizes):
            raise FovealError(
                f"kernel_size={kernel_size}, num_levels={num_levels} and growth={growth} make "
                f"convolutions of {sizes}: there must be at least one, and all odd"
            )
        self.num_levels, self.taps, self.bias = num_levels, sum(k * k for k in sizes), bias
        self.normalize, self.post_norm = normalize, post_norm
        self.split = nn.Conv2d(channels, 2 * channels + num_levels + 1, 1, bias=bias)
        self.levels = nn.ModuleList(
            nn.Conv2d(channels, channels, k, padding=k // 2, groups=channels, bias=False)
            for k in sizes
        )
        self.modulator = nn.Conv2d(channels, channels, 1, bias=bias)
        self.norm = nn.LayerNorm(channels) if post_norm else None
        self.proj = nn.Conv2d(channels, channels, 1)
        self.dropout = nn.Dropout(dropout)

    def _parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """Query, context and gates."""
        return self.split(x).split((x.shape[1], x.shape[1], self.num_levels + 1), dim=1)

    def attention_map(self, x: Map) -> Float[Tensor, "b levels h w"]:
        """Each position's gate for each level, from near to the whole map, in (-∞, ∞)."""
        return self._parts(x)[2]

    def forward(self, x: Map) -> Map:
        q, context, gates = self._parts(x)
        gates = gates.unsqueeze(2).unbind(1)
        total = None
        for level, gate in zip(self.levels, gates, strict=False):
            context = F.gelu(level(context))
            total = context * gate if total is None else torch.addcmul(total, context, gate)
        whole = F.gelu(context.mean((2, 3), keepdim=True))
        total = torch.addcmul(total, whole, gates[-1])  # pyright: ignore
        if self.normalize:
            total = total / (self.num_levels + 1)
        y = q * self.modulator(total)
        if self.norm is not None:
            y = self.norm(y.movedim(1, -1)).movedim(-1, 1)
        return self.dropout(self.proj(y))
