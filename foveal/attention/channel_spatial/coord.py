"""Coordinate attention."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.gate import gate_strips
from foveal.ops.norm import BatchNorm1d
from foveal.ops.strip_means import strip_means
from foveal.ops.width import hidden_width


@register_attention(
    "coord", paper="Hou et al., Coordinate Attention, CVPR 2021", arxiv="2103.02907"
)
class CoordinateAttention(nn.Module):
    r"""Gate each value by a weight for its channel and row and one for its channel and column.

    $$y_{chw} = x_{chw}\, \sigma\big(F_h(f)_{ch}\big)\, \sigma\big(F_w(f)_{cw}\big), \quad
    f = \delta\big(\mathrm{BN}(F_1[\mathrm{mean}_w x;\ \mathrm{mean}_h x])\big)$$

    Pooling along one axis at a time keeps the place along the other, which SE's pooling loses.

    Placed: in each inverted residual block of MobileNetV2, before the last pointwise convolution.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 3·C·hidden + 2·hidden + 2·C.
    Multiply-adds: 4·C·H·W + (2·C·hidden + hidden)·(H + W).

    Args:
        channels: channels C of the feature map.
        reduction: r, by which the shared layer is narrower.
        hidden: width of the shared layer. Default: C/r, at least 8.

    Raises:
        FovealError: for a reduction or width below 1.

    Departs: The shared layer is at least 8 wide and its activation is the hard swish, as in the
    authors' code. It has no bias, which the batch normalisation would cancel.
    """

    def __init__(self, channels: int, reduction: int = 32, hidden: int | None = None):
        super().__init__()
        self.hidden = hidden_width(channels, reduction, least=8, hidden=hidden)
        self.shared = nn.Conv1d(channels, self.hidden, 1, bias=False)
        self.bn = BatchNorm1d(self.hidden)
        self.act = nn.Hardswish()
        self.rows = nn.Conv1d(self.hidden, channels, 1)
        self.columns = nn.Conv1d(self.hidden, channels, 1)

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """The product of both weights, in (0, 1)."""
        rows, columns = self._weigh(*strip_means(x))
        return rows[..., None] * columns[:, :, None]

    def _weigh(
        self, rows: Float[Tensor, "b c h"], columns: Float[Tensor, "b c w"]
    ) -> tuple[Float[Tensor, "b c h"], Float[Tensor, "b c w"]]:
        both = torch.cat((self.shared(rows), self.shared(columns)), dim=2)
        shared = self.act(self.bn(both))
        height = rows.shape[2]
        rows = self.rows(shared[..., :height]).sigmoid()
        columns = self.columns(shared[..., height:]).sigmoid()
        return rows, columns

    def forward(self, x: Map) -> Map:
        return gate_strips(x, self._weigh, self.parameters())
