"""Spatial shifts mixed by split attention (S2-MLPv2)."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.width import hidden_width

_DOWN, _UP, _RIGHT, _LEFT = (2, 1), (2, -1), (3, 1), (3, -1)


@register_attention("s2", paper="Yu et al., S2-MLPv2, arXiv 2021", arxiv="2108.01072")
class S2(nn.Module):
    r"""Shift quarters of the channels by one position, and mix the shifts channel by channel.

    $$y = W_2 \textstyle\sum_m a_m \odot u_m, \quad (v_1, v_2, v_3) = W_1 x, \quad
    u_m = \mathrm{shift}_m(v_m), \quad
    a = \mathrm{softmax}_m\big(W_4\,\mathrm{GELU}(W_3 \textstyle\sum_m \sum_{hw} u_m)\big)$$

    The first branch moves its quarters down, up, right and left, the second right, left, down and
    up, the third stays. What moves in at the edge is the edge itself. No weight is spent on
    position: the Vision Permutator, with the same choice among three branches, learns C² for each.

    Placed: in place of self-attention in every block, before the perceptron.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 4·C² + 4·C + 4·C·hidden.
    Multiply-adds: (4·C² + 6·C)·N + 4·C·hidden + 8·C.

    Args:
        channels: channels C of the feature map.
        hidden: width of the layer that makes the choice. Default: C.

    Raises:
        FovealError: if the width is below 1.
    """

    def __init__(self, channels: int, hidden: int | None = None):
        super().__init__()
        self.hidden = hidden_width(channels, 1, hidden=hidden)
        self.expand = nn.Conv2d(channels, 3 * channels, 1)
        self.choose = nn.Sequential(
            nn.Linear(channels, self.hidden, bias=False),
            nn.GELU(),
            nn.Linear(self.hidden, 3 * channels, bias=False),
        )
        self.proj = nn.Conv2d(channels, channels, 1)

    def _branches(self, x: Map) -> tuple[list[Map], Tensor]:
        first, second, third = self.expand(x).chunk(3, 1)
        branches = [
            _shift(first, (_DOWN, _UP, _RIGHT, _LEFT)),
            _shift(second, (_RIGHT, _LEFT, _DOWN, _UP)),
            third,
        ]
        # The sum of the branches' sums: their sum is never written.
        one, two, three = (u.sum((2, 3)) for u in branches)
        scores = self.choose(one + two + three).unflatten(1, (3, -1))
        return branches, scores.softmax(1)[..., None, None]

    def attention_map(self, x: Map) -> Float[Tensor, "b 3 c 1 1"]:
        """Each channel's share of the three branches; the shares of a channel sum to 1."""
        return self._branches(x)[1]

    def forward(self, x: Map) -> Map:
        (one, two, three), shares = self._branches(x)
        first, second, third = shares.unbind(1)
        y = torch.addcmul(three * third, one, first)
        return self.proj(torch.addcmul(y, two, second))


def _shift(x: Map, ways: tuple[tuple[int, int], ...]) -> Map:
    """A quarter of the channels moved by one position each way, into new memory."""
    widths = [end - start for start, end in pairwise(x.shape[1] * q // 4 for q in range(5))]
    moved = []
    for (dim, step), part in zip(ways, x.split(widths, 1), strict=True):
        length = part.shape[dim]
        edge = part.narrow(dim, 0 if step > 0 else length - 1, 1)
        rest = part.narrow(dim, 0 if step > 0 else 1, length - 1)
        moved.append(torch.cat((edge, rest) if step > 0 else (rest, edge), dim))
    return torch.cat(moved, 1)
