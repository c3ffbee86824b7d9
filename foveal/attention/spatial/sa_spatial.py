"""The spatial gate of CBAM, alone."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.gate import gate_positions
from foveal.ops.norm import BatchNorm2d
from foveal.ops.pool import max_and_mean


@register_attention("sa_spatial", paper="Woo et al., CBAM, ECCV 2018", arxiv="1807.06521")
class SASpatial(nn.Module):
    r"""Gate each position by a wide convolution over the channels' maximum and mean there.

    $$y = x \odot \sigma\big(\mathrm{BN}(
    \mathrm{conv}_{7\times7}[\max_c x;\ \mathrm{mean}_c\,x])\big)$$

    Placed: as the second half of CBAM, in each residual block, before the addition.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 2·kernel_size² + bias + norm·2.
    Multiply-adds: (2·C + 2·kernel_size² + norm)·H·W.

    Args:
        channels: channels C of the feature map; no parameter depends on them.
        kernel_size: size of the convolution, odd.
        norm: batch-normalise the scores.
        bias: give the convolution a bias.

    Raises:
        FovealError: if `kernel_size` is even.

    Departs: The scores are batch-normalised and the maximum stands first, as in the authors' code;
    the paper writes neither normalisation (`norm=False`) nor that order, which only permutes
    weights.
    """

    def __init__(self, channels: int, kernel_size: int = 7, norm: bool = True, bias: bool = False):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise FovealError(
                f"kernel_size={kernel_size} must be odd, so that the map keeps its size"
            )
        self.kernel_size, self.norm, self.bias = kernel_size, norm, bias
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=bias)
        self.bn = BatchNorm2d(1, momentum=0.01) if norm else nn.Identity()

    def attention_map(self, x: Map) -> Float[Tensor, "b 1 h w"]:
        """One weight per position, in (0, 1)."""
        return self.weigh(max_and_mean(x, dim=1))

    def weigh(self, pooled: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b 1 h w"]:
        """The weights, from the channels' maximum and mean."""
        return self.bn(self.conv(pooled)).sigmoid()

    def forward(self, x: Map) -> Map:
        return gate_positions(x, self.weigh, self.parameters())
