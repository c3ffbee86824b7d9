"""Axial attention."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.attention.self_attention.mhsa import MHSA
from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.pieces import in_pieces
from foveal.ops.width import fitting_groups


@register_attention(
    "axial", paper="Ho et al., Axial Attention in Multidimensional Transformers, arXiv 2019",
    arxiv="1912.12180",
)  # fmt: skip
class Axial(nn.Module):
    r"""Attend along columns and along rows, each by multi-head attention of its own.

    $$y_{ij} = \mathrm{MHSA}_1(x_{:j})_i + \mathrm{MHSA}_2(x_{i:})_j$$

    Each position sees H + W others instead of H·W. Criss-cross attention sees the same ones
    through a single softmax with a single head; position-sensitive axial attention adds terms for
    the distance along the axis.

    Placed: in the layers of transformers that generate images and videos.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 8·C·inner + 2·C.
    Multiply-adds: N·(8·C·inner + 2·(H + W)·inner + together·C).

    Args:
        channels: channels C of the feature map.
        num_heads: heads along each axis. Default: 8, or fewer where 8 does not divide the channels.
        head_channels: width of a head. Default: C / num_heads.
        together: sum what both axes find; otherwise the rows attend to what the columns found.

    Raises:
        FovealError: if the channels do not divide into the heads and no width is given.

    Departs: The paper's layers, each with a residual connection and a normalisation, attend along
    one axis after the other; the sum is what the code in common use (lucidrains) has by default.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        head_channels: int | None = None,
        together: bool = True,
    ):
        super().__init__()
        num_heads = fitting_groups(channels, 8) if num_heads is None else num_heads
        self.column, self.row = (
            MHSA(channels, num_heads, head_channels, proj_bias=True) for _ in range(2)
        )
        self.together, self.inner = together, self.column.value_width

    def attention_map(self, x: Map, axis: str = "column") -> Float[Tensor, "lines heads n n"]:
        """How much each position takes from each of its column (B·W columns of H) or, with
        `axis="row"`, of its row (B·H rows of W); what it takes sums to 1."""
        if axis == "column":
            return self.column.attention_map(_columns(x).flatten(0, 1))
        if axis != "row":
            raise FovealError(f"axis={axis!r} must be 'column' or 'row'")
        x = x if self.together else self._attend_columns(x)
        return self.row.attention_map(_rows(x).flatten(0, 1))

    def _attend_columns(self, x: Map) -> Map:
        columns = self.column(_columns(x).flatten(0, 1))
        return columns.unflatten(0, (-1, x.shape[3])).permute(0, 3, 2, 1)

    def _attend_rows(self, x: Map) -> Map:
        rows = self.row(_rows(x).flatten(0, 1))
        return rows.unflatten(0, (-1, x.shape[2])).permute(0, 3, 1, 2)

    def forward(self, x: Map) -> Map:
        return in_pieces(self._attend, x, 2)  # all queries, keys and values are three maps more

    def _attend(self, x: Map) -> Map:
        if self.together:
            return self._attend_rows(x) + self._attend_columns(x)
        return self._attend_rows(self._attend_columns(x))


def _columns(x: Map) -> Float[Tensor, "b w h c"]:
    return x.permute(0, 3, 2, 1)


def _rows(x: Map) -> Float[Tensor, "b h w c"]:
    return x.permute(0, 2, 3, 1)
