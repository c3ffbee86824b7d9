"""Large separable kernel attention."""

from torch import nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.large_kernel import LargeKernelGate, depthwise


@register_attention(
    "lska", paper="Lau et al., Large Separable Kernel Attention, ESWA 2024", arxiv="2309.01439"
)
class LSKA(LargeKernelGate):
    r"""Gate each value by a wide convolution made of rows and columns, dense and then sparse.

    $$y = x \odot \mathrm{conv}_{1\times1}\big(\mathrm{dw}_{k\times1,\,d}\,
    \mathrm{dw}_{1\times k,\,d}\,\mathrm{dw}_{(2d-1)\times1}\,\mathrm{dw}_{1\times(2d-1)}\,x\big),
    \quad K = 2d - 1 + d\,(k - 1)$$

    LKA with both of its convolutions split into one along rows and one along columns, so that the
    cost grows with K and not with K². K is the reach of both together: LKA's 21 is 23 here.

    Placed: in the first half of each block of VAN, where LKA stands.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·(2·near_size + 2·far_size + C + 5) + project·2·C·(C + 1).
    Multiply-adds: (2·near_size + 2·far_size + C + 1 + project·(2·C + 1))·C·H·W.

    Args:
        channels: channels C of the feature map.
        kernel_size: K, the positions that a weight sees along an axis; the authors' are 7, 11,
            23, 35, 41 and 53. Default: 23, which is what VAN has.
        dilation: d, the distance between taps of the sparse convolutions. Default: the paper's 2
            below 23, and 3 from there on.
        project: VAN's whole attention block: a pointwise layer and GELU before, a pointwise layer
            after, and a shortcut around.

    Raises:
        FovealError: if no odd number of taps with that dilation reaches `kernel_size` positions.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 23,
        dilation: int | None = None,
        project: bool = False,
    ):
        super().__init__(channels, project)
        if dilation is None:
            dilation = 2 if kernel_size < 23 else 3
        if dilation < 1:
            raise FovealError(f"dilation={dilation} must be positive")
        near = 2 * dilation - 1
        if kernel_size < near or (kernel_size - near) % (2 * dilation):
            reached = ", ".join(str(near + 2 * dilation * i) for i in range(4))
            raise FovealError(
                f"kernel_size={kernel_size} cannot be reached with dilation={dilation}; "
                f"{reached} … can"
            )
        far = (kernel_size - near) // dilation + 1
        self.near_size, self.far_size = near, far
        self.near_row = depthwise(channels, (1, near))
        self.near_column = depthwise(channels, (near, 1))
        self.far_row = depthwise(channels, (1, far), dilation)
        self.far_column = depthwise(channels, (far, 1), dilation)
        self.mix = nn.Conv2d(channels, channels, 1)

    def weights(self, x: Map) -> Map:
        return self.mix(self.far_column(self.far_row(self.near_column(self.near_row(x)))))
