"""Multi-scale deformable attention."""

from math import cos, pi, sin

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Maps, Points, Tokens
from foveal.ops.heads import heads_for


@register_attention("ms_deform", paper="Zhu et al., Deformable DETR, ICLR 2021",
                    arxiv="2010.04159")  # fmt: skip
class MSDeform(nn.Module):
    r"""Let each token look at a few places around its point, in maps of several sizes.

    $$y_q = \sum_h W_h \sum_{l,k} a_{hlqk}\, W'_h\, v_l\big(p_q + \Delta_{hlqk}\big), \quad
    a = \mathrm{softmax}_{l,k}(W_a x_q), \quad \Delta = W_\Delta x_q$$

    Both the places Δ, in positions of each map, and their weights a are read off the token alone;
    no query meets a key. Values between positions are interpolated, outside the map they are 0.

    Placed: in Deformable DETR, as the attention of the encoder and the cross-attention of the
    decoder.

    Shape: (B, N, C), (B, N, 2) and num_levels maps (B, C, h, w) → (B, N, C).
    Parameters: 3·looks·(C + 1) + 2·(C² + C).
    Multiply-adds: N·(3·C·looks + C² + looks·(6·head_channels + 8)) + M·(C² + C).

    Args:
        channels: channels C of the tokens and of the maps.
        num_heads: heads. Default: 8, or the most below that divide the channels into four or more
            each.
        num_levels: how many maps.
        num_points: places that a head looks at in each map.

    Raises:
        FovealError: if `num_heads` does not divide the channels or a number is not positive; and
            when called, if there are not `num_levels` maps or not a point for each token.

    Departs: A token has one point for all maps, where the authors' code takes one for each, which
    differ where padding does; reference boxes are not served.
    """

    def __init__(
        self, channels: int, num_heads: int | None = None, num_levels: int = 4, num_points: int = 4
    ):
        super().__init__()
        if min(num_levels, num_points) < 1:
            raise FovealError(
                f"num_levels={num_levels} and num_points={num_points} must be positive"
            )
        self.num_heads = heads_for(channels, num_heads)
        self.head_channels = channels // self.num_heads
        self.num_levels, self.num_points = num_levels, num_points
        self.looks = self.num_heads * num_levels * num_points
        self.offsets = nn.Linear(channels, 2 * self.looks)
        self.weights = nn.Linear(channels, self.looks)
        self.value = nn.Linear(channels, channels)
        self.proj = nn.Linear(channels, channels)
        self._look_around()

    @torch.no_grad()
    def _look_around(self) -> None:
        """Born as in the paper: heads look in directions all around, points ever farther, all with
        equal weights."""
        for layer in self.offsets, self.weights:
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.weights.bias)
        angles = [2 * pi * head / self.num_heads for head in range(self.num_heads)]
        places = [
            [distance * part / max(abs(cos(angle)), abs(sin(angle)))]
            for angle in angles
            for _ in range(self.num_levels)
            for distance in range(1, self.num_points + 1)
            for part in (cos(angle), sin(angle))
        ]
        self.offsets.bias.copy_(torch.tensor(places, device=self.offsets.bias.device)[:, 0])

    def _shares(self, x: Tensor) -> Tensor:
        """(B, heads, N, levels · points)."""
        return self.weights(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2).softmax(-1)

    def attention_map(
        self, x: Tokens, points: Points, maps: Maps
    ) -> Float[Tensor, "b heads n looks"]:
        """The weights of the places that each token looks at, map after map; rows sum to 1."""
        return self._shares(x)

    def forward(self, x: Tokens, points: Points, maps: Maps) -> Tokens:
        """Look at the maps around the points, which run from 0 at the upper left corner to 1."""
        if len(maps) != self.num_levels or points.shape[1] != x.shape[1]:
            raise FovealError(
                f"ms_deform takes num_levels={self.num_levels} maps and a point for each token, got"
                f" {len(maps)} maps and {points.shape[1]} points for {x.shape[1]} tokens"
            )
        wide = torch.promote_types(x.dtype, torch.float32)  # half precision is too coarse a ruler
        heads = (self.num_heads, self.num_levels, self.num_points, 2)
        offsets = self.offsets(x).unflatten(-1, heads).to(wide)  # (B, N, heads, levels, points, 2)
        corner = 2 * points.to(wide)[:, :, None, None] - 1
        found = [self._look(one, corner, offsets[:, :, :, level]) for level, one in enumerate(maps)]
        values = torch.cat(found, dim=-1)  # (B, heads, D, N, levels · points)
        y = (values * self._shares(x)[:, :, None].to(wide)).sum(-1)
        return self.proj(y.flatten(1, 2).mT.to(x.dtype))

    def _look(self, one: Tensor, corner: Tensor, offsets: Tensor) -> Tensor:
        """Values of one map around the points: (B, heads, D, N, points)."""
        height, width = one.shape[2:]
        values = self.value(one.movedim(1, -1)).movedim(-1, 1)
        values = values.to(offsets.dtype).unflatten(1, (self.num_heads, -1)).flatten(0, 1)
        right, down = offsets.unbind(-1)  # in positions, of which the map from −1 to 1 has so many
        steps = torch.stack((2 * right / width, 2 * down / height), dim=-1)
        grid = (corner + steps).transpose(1, 2).flatten(0, 1)  # (B · heads, N, points, 2)
        found = F.grid_sample(values, grid, align_corners=False)
        return found.unflatten(0, (-1, self.num_heads))
