"""Convolutional block attention module."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from foveal.attention.channel.ca_channel import CAChannel
from foveal.attention.spatial.sa_spatial import SASpatial
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.gate_both import gate_channels_then_positions


@register_attention("cbam", paper="Woo et al., CBAM, ECCV 2018", arxiv="1807.06521")
class CBAM(nn.Module):
    r"""Gate the channels, and then the positions of what is left.

    $$y = z \odot M_s(z), \qquad z = x \odot M_c(x)$$

    $M_c$ is the gate of `CAChannel`, $M_s$ that of `SASpatial`.

    Placed: after the last convolution of each residual block, before the addition.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 2·C·hidden + bias·(C + hidden) + 2·kernel_size² + norm·2.
    Multiply-adds: (1 + pool_adds)·C·H·W + len(pools)·(2·C·hidden + C)
    + (2·C + 2·kernel_size² + norm)·H·W + residual·C·H·W.

    Args:
        channels: channels C of the feature map.
        reduction: r, by which the hidden layer of the channel gate is narrower.
        kernel_size: size of the spatial gate's convolution, odd.
        hidden: width of the hidden layer. Default: C/r, at least 1.
        pools: what the channel gate looks at, as in `CAChannel`.
        bias: give the channel gate's layers a bias.
        norm: batch-normalise the spatial gate's scores.
        residual: add the input to the result.

    Raises:
        FovealError: for an unknown pool, an even kernel size, or a reduction or width below 1.

    Departs: Biases in the channel gate and batch normalisation in the spatial one, as in the
    authors' code; the paper writes neither (`bias=False`, `norm=False`). The residual of a common
    port (`residual=True`) is in neither: in the paper it belongs to the ResNet block.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        kernel_size: int = 7,
        hidden: int | None = None,
        pools: Sequence[str] = ("avg", "max"),
        bias: bool = True,
        norm: bool = True,
        residual: bool = False,
    ):
        super().__init__()
        self.channel = CAChannel(channels, reduction, hidden, pools, bias)
        self.spatial = SASpatial(channels, kernel_size, norm)
        self.residual, self.bias, self.norm, self.kernel_size = residual, bias, norm, kernel_size
        self.hidden, self.pools = self.channel.hidden, self.channel.pools
        self.pool_adds = self.channel.pool_adds

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """The factor on every value, in (0, 2): below 1 without the residual, above 1 with it."""
        channel = self.channel.attention_map(x)
        weights = channel * self.spatial.attention_map(x * channel)
        return 1 + weights if self.residual else weights

    def forward(self, x: Map) -> Map:
        if self.pools == ("avg", "max"):
            channel, spatial = self.channel, self.spatial
            y = gate_channels_then_positions(
                x, channel.weigh, channel.parameters(), spatial.weigh, spatial.parameters()
            )
        else:
            y = self.spatial(self.channel(x))
        return x + y if self.residual else y
