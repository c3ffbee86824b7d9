"""Global second-order pooling."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.covariance import covariance
from foveal.ops.norm import BatchNorm2d


@register_attention("gsop", paper="Gao et al., GSoP-Net, CVPR 2019", arxiv="1811.12006")
class GSoP(nn.Module):
    r"""Gate each channel by a network over how all channels, fewer of them, vary together.

    $$y = x \odot \sigma\big(W_2\,\mathrm{rowconv}(\mathrm{BN}(\mathrm{cov}_{hw}\,u))\big), \quad
    u = \mathrm{ReLU}(\mathrm{BN}(W_1 x)) \in \mathbb{R}^{d \times H \times W}$$

    SE squeezes to means, which tell nothing of pairs. Here each row of the covariance matrix, one
    channel's relation to every other, is summed up by four filters of its own.

    Placed: in the stages of a ResNet, from the first to the last.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: (1 + expansion)·C·hidden + C + expansion·(hidden² + hidden) + 4·hidden.
    Multiply-adds: C·H·W + (C + 3 + hidden)·hidden·H·W + (2 + expansion)·hidden²
    + expansion·C·hidden.

    Args:
        channels: channels C of the feature map.
        hidden: width d of the map whose covariances are taken. Default: the paper's 128, but no
            more than the channels.
        expansion: filters to each row of the covariance matrix.

    Raises:
        FovealError: if `hidden` or `expansion` is below 1.

    Departs: There is no ReLU on the input, which the authors' code has because it stands before
    that of its host; nor a stride of 2 in front of wide maps, nor a bias that a batch normalisation
    takes off again.
    """

    def __init__(self, channels: int, hidden: int | None = None, expansion: int = 4):
        super().__init__()
        self.hidden = min(channels, 128) if hidden is None else hidden
        self.expansion = expansion
        if self.hidden < 1 or expansion < 1:
            raise FovealError(f"hidden={hidden} and expansion={expansion} must be at least 1")
        width, rows = self.hidden, expansion * self.hidden
        self.reduce = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False), BatchNorm2d(width), nn.ReLU()
        )
        self.row_norm = BatchNorm2d(width)
        self.row_conv = nn.Conv2d(width, rows, (width, 1), groups=width)
        self.excite = nn.Conv2d(rows, channels, 1)

    def attention_map(self, x: Map) -> Float[Tensor, "b c 1 1"]:
        """One weight per channel, in (0, 1)."""
        rows = covariance(self.reduce(x)).to(x.dtype)[..., None]  # (B, d, d, 1)
        return self.excite(self.row_conv(self.row_norm(rows))).sigmoid()

    def forward(self, x: Map) -> Map:
        return x * self.attention_map(x)
