"""Point-wise spatial attention."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.norm import BatchNorm2d
from foveal.ops.resize import bilinear
from foveal.ops.width import hidden_width
from foveal.ops.window import Size, pair

MODES = ("both", "collect", "distribute")


class Masks(nn.Module):
    """A narrow map, made smaller, and for each position a score for each offset from it."""

    def __init__(self, channels: int, hidden: int, shrink: int, table: Size):
        super().__init__()
        self.shrink = shrink
        self.reduce = nn.Conv2d(channels, hidden, 1, bias=False)
        self.reduce_norm = BatchNorm2d(hidden)
        self.adapt = nn.Conv2d(hidden, hidden, 1, bias=False)
        self.adapt_norm = BatchNorm2d(hidden)
        rows, columns = (2 * side - 1 for side in table)
        self.offsets = nn.Parameter(torch.randn(hidden, rows, columns) * hidden**-0.5)

    def _vectors(self, height: int, width: int) -> Float[Tensor, "hidden o"]:
        """The vectors of the offsets that a map has; 0 for those that the table does not reach."""
        vectors, near = self.offsets, []
        for axis, side in ((1, height), (2, width)):
            reach = self.offsets.shape[axis] // 2
            offset = torch.arange(2 * side - 1, device=vectors.device) - (side - 1)
            vectors = vectors.index_select(axis, offset.clamp(-reach, reach) + reach)
            near.append(offset.abs() <= reach)
        return torch.where(near[0][:, None] & near[1], vectors, 0).flatten(1)

    def forward(self, x: Map) -> tuple[Map, Float[Tensor, "b n n"]]:
        """The small map, and the score of each position for each (by offset from the first)."""
        z = self.reduce_norm(self.reduce(x)).relu()
        if self.shrink > 1:
            height, width = ((side - 1) // self.shrink + 1 for side in x.shape[2:])
            z = bilinear(z, height, width)
        height, width = z.shape[2:]
        hidden = self.adapt_norm(self.adapt(z)).relu()
        scores = hidden.flatten(2).mT @ self._vectors(height, width)
        # In a table with 2W − 1 columns places are as far apart as their offset is from the middle.
        row, column = (torch.arange(side, device=x.device) for side in (height, width))
        place = (row[:, None] * (2 * width - 1) + column).flatten()
        which = place + (2 * height * width - height - width) - place[:, None]
        return z, scores.gather(2, which.expand(x.shape[0], -1, -1))


@register_attention(
    "psanet",
    paper="Zhao et al., PSANet: Point-wise Spatial Attention Network for Scene Parsing, ECCV 2018",
)
class PSANet(nn.Module):
    r"""Let each position say by offset from whom it takes, and to whom it gives.

    $$y_i = x_i + \mathrm{ReLU}\,\mathrm{BN}\,W\Big[\textstyle\sum_j
    \mathrm{softmax}_j\big(h_i^\top a_{j-i}\big)\, z_j,\ \textstyle\sum_j
    \mathrm{softmax}_j\big(h_j'^\top a'_{i-j}\big)\, z_j'\Big]$$

    No position is compared with another: what it takes from an offset (collect), or gives to one
    (distribute), it predicts from itself alone, by a vector a for each offset in two dimensions.
    z and z' are narrower maps of half the height and width, and h, h' a layer more. An offset that
    the table does not reach has the score 0. The mechanism is defined through the scores of all
    pairs on the small map, so this form writes them out.

    Placed: once, on the last map of a dilated ResNet.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: branches·(2·C·hidden + hidden² + 4·hidden + hidden·cells) + 2·C.
    Multiply-adds: branches·N·C·hidden + branches·N·hidden
    + shrinks·branches·hidden·ceil(H/shrink)·W·(H + ceil(W/shrink))
    + shrinks·C·H·ceil(W/shrink)·(ceil(H/shrink) + W)
    + ceil(H/shrink)·ceil(W/shrink)·branches·(hidden² + hidden
    + hidden·(2·ceil(H/shrink) − 1)·(2·ceil(W/shrink) − 1) + C·hidden)
    + ceil(H/shrink)²·ceil(W/shrink)²·branches·(hidden + 3)
    + ceil(H/shrink)·ceil(W/shrink)·C
    + residual·N·C.

    Args:
        channels: channels C of the feature map.
        reduction: by which z is narrower.
        hidden: width of z. Default: C / reduction, at least 1.
        mode: `"both"`, `"collect"` or `"distribute"`.
        shrink: by which z is smaller along each axis.
        table_size: height and width of the small map whose every offset has a vector.
        residual: add x; without, the result is what PSANet concatenates to x.

    Raises:
        FovealError: for an unknown mode, or a width, shrink or size below 1.

    Departs: The result is added to x, where the network concatenates the two and goes on with
    twice the channels. It is brought to the size of x; the authors' code takes only maps for which
    that is the shrunken size less 1, times `shrink`, plus 1.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 4,
        hidden: int | None = None,
        mode: str = "both",
        shrink: int = 2,
        table_size: int | Size = 30,
        residual: bool = True,
    ):
        super().__init__()
        if mode not in MODES:
            raise FovealError(f"mode={mode!r} must be one of {', '.join(MODES)}")
        if shrink < 1:
            raise FovealError(f"shrink={shrink} must be at least 1")
        table = pair(table_size, "table_size")
        self.mode, self.shrink, self.residual = mode, shrink, residual
        self.shrinks = shrink > 1
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.cells = (2 * table[0] - 1) * (2 * table[1] - 1)
        self.branches = 2 if mode == "both" else 1
        if mode != "distribute":
            self.collect = Masks(channels, self.hidden, shrink, table)
        if mode != "collect":
            self.distribute = Masks(channels, self.hidden, shrink, table)
        self.proj = nn.Conv2d(self.branches * self.hidden, channels, 1, bias=False)
        self.norm = BatchNorm2d(channels)

    def _pairs(self, x: Map, gives: bool) -> tuple[Map, Float[Tensor, "b n n"]]:
        """The small map, and how much each position takes from each."""
        z, scores = self.distribute(x) if gives else self.collect(x)
        return z, (scores.mT if gives else scores).softmax(2)

    def attention_map(self, x: Map, distribute: bool = False) -> Float[Tensor, "b n n"]:
        """How much each position of the small map takes from each because it asks, or with
        `distribute`, and where nothing is collected, because the other gives; rows sum to 1."""
        return self._pairs(x, distribute or self.mode == "distribute")[1]

    def forward(self, x: Map) -> Map:
        gathered = []
        for gives in (False, True):
            if self.mode != ("collect" if gives else "distribute"):
                z, weights = self._pairs(x, gives)
                gathered.append((z.flatten(2) @ weights.mT).unflatten(2, z.shape[2:]))
        y = self.norm(self.proj(torch.cat(gathered, dim=1))).relu()
        y = bilinear(y, x.shape[2], x.shape[3]) if self.shrinks else y
        return x + y if self.residual else y
