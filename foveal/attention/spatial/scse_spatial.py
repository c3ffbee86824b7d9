"""The spatial gate of scSE, alone."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Map


@register_attention(
    "scse_spatial",
    paper="Roy et al., Concurrent Spatial and Channel SE, MICCAI 2018",
    arxiv="1803.02579",
)
class SCSESpatial(nn.Module):
    r"""Gate each position by a weighted sum of its channels.

    $$y = x \odot \sigma(w^\top x + b)$$

    scSE adds the result to that of `SE` over the same map.

    Placed: as one of scSE's two branches, after each block of a segmentation network.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: C + bias. Multiply-adds: 2·C·H·W.

    Args:
        channels: channels C of the feature map.
        bias: give the sum a bias.

    Departs: A bias, as in the authors' code; the paper writes none (`bias=False`).
    """

    def __init__(self, channels: int, bias: bool = True):
        super().__init__()
        self.bias = bias
        self.conv = nn.Conv2d(channels, 1, 1, bias=bias)

    def scores(self, x: Map) -> Float[Tensor, "b 1 h w"]:
        """What the gate is the sigmoid of."""
        return self.conv(x)

    def attention_map(self, x: Map) -> Float[Tensor, "b 1 h w"]:
        """One weight per position, in (0, 1)."""
        return self.scores(x).sigmoid()

    def forward(self, x: Map) -> Map:
        return x * self.attention_map(x)
