"""Context anchor attention."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.activation import activation
from foveal.ops.large_kernel import depthwise
from foveal.ops.norm import BatchNorm2d
from foveal.ops.window import pair


def _pointwise(channels: int, act: str) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 1, bias=False),
        BatchNorm2d(channels, eps=0.001, momentum=0.03),
        activation(act),
    )


@register_attention("caa", paper="Cai et al., PKINet, CVPR 2024", arxiv="2403.06258")
class CAA(nn.Module):
    r"""Gate each value by a long cross of strips over local means of the map.

    $$y = x \odot \sigma\big(f_2(\mathrm{dw}_{k\times1}\,\mathrm{dw}_{1\times k}\,
    f_1(\mathrm{pool}_{7\times7}\,x))\big), \quad
    f = \mathrm{SiLU} \circ \mathrm{BN} \circ \mathrm{conv}_{1\times1}$$

    The gates of large kernels (LKA, LSKA, MSCA) see the map itself and are unbounded; here the
    means come first, the strips relate distant ones, and a sigmoid ends it. It ends a SiLU, which
    is never below −0.28: no weight is below 0.43.

    Placed: in each block of PKINet, as the gate on what its convolutions of several sizes return.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 2·C² + (strip_taps + 6)·C.
    Multiply-adds: (pool_size² + 2·C + strip_taps + 3)·C·H·W.

    Args:
        channels: channels C of the feature map.
        kernel_size: length k of the strips, odd; or that of the vertical and of the horizontal one.
        pool_size: size of the window of the means, odd. Beyond the border lie zeros that count.
        act: activation of both pointwise layers, by name.

    Raises:
        FovealError: if a size is even, or the activation unknown.

    Departs: The authors' class returns the weights, and leaves it to its block to multiply.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int | tuple[int, int] = 11,
        pool_size: int = 7,
        act: str = "silu",
    ):
        super().__init__()
        if pool_size < 1 or pool_size % 2 == 0:
            raise FovealError(f"pool_size={pool_size} must be odd, so that the map keeps its size")
        tall, wide = pair(kernel_size, "kernel_size")
        self.pool_size, self.strip_taps = pool_size, tall + wide
        self.first = _pointwise(channels, act)
        self.row = depthwise(channels, (1, wide))
        self.column = depthwise(channels, (tall, 1))
        self.last = _pointwise(channels, act)

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """One weight per value, in (0, 1)."""
        means = F.avg_pool2d(x, self.pool_size, stride=1, padding=self.pool_size // 2)
        return self.last(self.column(self.row(self.first(means)))).sigmoid()

    def forward(self, x: Map) -> Map:
        return x * self.attention_map(x)
