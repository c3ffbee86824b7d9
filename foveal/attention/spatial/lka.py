"""Large kernel attention."""

from torch import nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.large_kernel import LargeKernelGate, depthwise


def decomposed(kernel_size: int, dilation: int) -> tuple[int, int]:
    """The sizes of the dense and of the sparse kernel that stand for a large one: 2d − 1, ⌈K/d⌉.

    Raises:
        FovealError: if the second is even, or a number is not positive.

    >>> decomposed(21, 3)
    (5, 7)
    """
    if dilation < 1 or kernel_size < 1 or -(-kernel_size // dilation) % 2 == 0:
        raise FovealError(
            f"kernel_size={kernel_size} and dilation={dilation} must be positive, and their "
            "quotient, rounded up, odd, so that a tap stands in the middle"
        )
    return 2 * dilation - 1, -(-kernel_size // dilation)


@register_attention(
    "lka", paper="Guo et al., Visual Attention Network, CVMJ 2023", arxiv="2202.09741"
)
class LKA(LargeKernelGate):
    r"""Gate each value by a wide convolution, made of a dense small one and a sparse large one.

    $$y = x \odot \mathrm{conv}_{1\times1}\big(\mathrm{dw}_{\lceil K/d\rceil,\,d}(
    \mathrm{dw}_{2d-1}\,x)\big)$$

    dw_k,d convolves each channel alone, with k × k taps that lie d apart. The weights pass no
    sigmoid: they may be negative, and are as large as the map makes them.

    Placed: in the first half of each block of VAN, between two 1 × 1 convolutions.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·(near_size² + far_size² + C + 3) + project·2·C·(C + 1).
    Multiply-adds: (near_size² + far_size² + C + 1 + project·(2·C + 1))·C·H·W.

    Args:
        channels: channels C of the feature map.
        kernel_size: K, the size of the convolution that the two stand for.
        dilation: d, the distance between taps of the second.
        project: VAN's whole attention block: a pointwise layer and GELU before, a pointwise layer
            after, and a shortcut around.

    Raises:
        FovealError: if ⌈kernel_size/dilation⌉ is even, or either is not positive.
    """

    def __init__(
        self, channels: int, kernel_size: int = 21, dilation: int = 3, project: bool = False
    ):
        super().__init__(channels, project)
        self.near_size, self.far_size = decomposed(kernel_size, dilation)
        self.near = depthwise(channels, self.near_size)
        self.far = depthwise(channels, self.far_size, dilation)
        self.mix = nn.Conv2d(channels, channels, 1)

    def weights(self, x: Map) -> Map:
        return self.mix(self.far(self.near(x)))
