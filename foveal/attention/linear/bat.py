"""Bilinear attentional transform."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.activation import activation
from foveal.ops.norm import BatchNorm2d
from foveal.ops.width import fitting_groups, hidden_width


def _layer(channels: int, width: int, act: str) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 1, bias=False), BatchNorm2d(width), activation(act)
    )


def _places(size: int, blocks: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Of each of `size` lines the block that it lies in, and its place there."""
    line, length = torch.arange(size, device=like.device), (size + blocks - 1) // blocks
    block = line // length
    return block, line - block * length  # exporters know no remainder by a size


def _greatest(lines: Float[Tensor, "b g n"], blocks: int) -> Float[Tensor, "b g blocks"]:
    """The greatest value of each block; 0 of one without lines."""
    block, _ = _places(lines.shape[2], blocks, lines)
    outside = block != torch.arange(blocks, device=lines.device)[:, None]
    greatest = lines[:, :, None].masked_fill(outside, float("-inf")).amax(3)
    return greatest.masked_fill(outside.all(1), 0)


def _spread(scores: Float[Tensor, "b g s s"], size: int) -> Float[Tensor, "b g size size"]:
    """Weights of pairs of lines from the scores of pairs of blocks: a line exchanges with the lines
    of the same place in other blocks. The last block may lack some; the weights of those that there
    are sum to 1. In logarithms, so that no sum can underflow."""
    block, place = _places(size, scores.shape[-1], scores)
    pairs = F.logsigmoid(scores).index_select(2, block).index_select(3, block)
    return pairs.masked_fill(place[:, None] != place, float("-inf")).softmax(-1)


@register_attention("bat", paper="Chi et al., Grouped Bilinear Attentional Transforms, CVPR 2020")
class BilinearAttentionalTransform(nn.Module):
    r"""Let blocks of rows, and then blocks of columns, exchange what they hold.

    $$y = x + W_2\,f\big(P\, z\, Q^\top\big), \quad z = W_1 x, \quad
    P = \mathrm{norm}\,\sigma\big(\mathrm{conv}(\max_{w} g(z))\big) \otimes I, \quad
    Q = \mathrm{norm}\,\sigma\big(\mathrm{conv}(\max_{h} g(z))\big) \otimes I$$

    Each layer is followed by batch normalisation and an activation. A block exchanges with another
    as a whole, line by line, so that `num_blocks` × `num_blocks` weights for the rows and as many
    for the columns, seen from the greatest values of each block, move the whole map: a pair of
    positions has the product of both weights, and is never formed. Axial attention compares lines
    position by position.

    Placed: after every second block of the two middle stages of a ResNet.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: hidden·(2·C + hidden + groups) + 2·(2·hidden + groups + C)
    + 2·num_blocks²·groups·(groups·num_blocks + 1).
    Multiply-adds: N·(hidden·(2·C + hidden + groups + 2 + H + W) + 2·C + groups)
    + 2·num_blocks³·groups² + 2·groups·(H² + W²).

    Args:
        channels: channels C of the feature map.
        num_blocks: blocks that the rows, and the columns, fall into; fewer where a map is smaller.
        groups: groups of channels with weights of their own. Default: 2, if the width is even.
        reduction: by which the width is less than C.
        hidden: width of what is exchanged. Default: C/r, at least 1.
        act: activation, by name.
        dropout: probability of dropping a channel of what is added, in training.

    Raises:
        FovealError: if the groups do not divide the width, a number is not positive, or the
            activation unknown.

    Departs: Maps whose sides are no multiple of `num_blocks` are taken too: the last block lacks
    lines, and the weights of those that there are sum to 1. Layers before a batch normalisation
    have no bias, which it would cancel.
    """

    def __init__(
        self,
        channels: int,
        num_blocks: int = 7,
        groups: int | None = None,
        reduction: int = 4,
        hidden: int | None = None,
        act: str = "relu",
        dropout: float = 0.2,
    ):
        super().__init__()
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        groups = fitting_groups(self.hidden, 2) if groups is None else groups
        if num_blocks < 1 or groups < 1 or self.hidden % groups:
            raise FovealError(
                f"num_blocks={num_blocks} must be positive, and groups={groups} divide the width "
                f"{self.hidden}"
            )
        self.num_blocks, self.groups = num_blocks, groups
        pairs = num_blocks**2 * groups
        self.reduce = _layer(channels, self.hidden, act)
        self.look = _layer(self.hidden, groups, act)
        self.rows = nn.Conv2d(groups, pairs, (num_blocks, 1))
        self.columns = nn.Conv2d(groups, pairs, (1, num_blocks))
        self.mix = _layer(self.hidden, self.hidden, act)
        self.expand = _layer(self.hidden, channels, act)
        self.dropout = nn.Dropout2d(dropout)

    def _weights(self, z: Map) -> tuple[Tensor, Tensor]:
        """Each row's share of each row, (B, groups, H, H), and each column's of each column."""
        seen, blocks = self.look(z), self.num_blocks
        rows = self.rows(_greatest(seen.amax(3), blocks)[..., None])
        columns = self.columns(_greatest(seen.amax(2), blocks)[:, :, None])
        square = (self.groups, blocks, blocks)
        # The original normalises the columns' weights over their first axis: they act from behind.
        rows, columns = rows.reshape(-1, *square), columns.reshape(-1, *square).mT
        return _spread(rows, z.shape[2]), _spread(columns, z.shape[3])

    def attention_map(self, x: Map, axis: str = "rows") -> Float[Tensor, "b groups m m"]:
        """How much each row takes from each, or with `axis="columns"` each column from each; rows
        of the map sum to 1."""
        rows, columns = self._weights(self.reduce(x))
        return rows if axis == "rows" else columns

    def forward(self, x: Map) -> Map:
        z = self.reduce(x)
        rows, columns = self._weights(z)
        z = z.unflatten(1, (self.groups, -1))  # (B, groups, C', H, W)
        z = (z.flatten(2, 3) @ columns.mT).view_as(z)
        z = (rows[:, :, None] @ z).flatten(1, 2)
        return x + self.dropout(self.expand(self.mix(z)))
