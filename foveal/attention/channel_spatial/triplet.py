"""Triplet attention."""

from functools import reduce
from operator import add

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.norm import BatchNorm2d
from foveal.ops.pool import max_and_mean
from foveal.ops.several_gates import gate_by_sum


class _Gate(nn.Sequential):
    def __init__(self, kernel_size: int):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = BatchNorm2d(1, momentum=0.01)
        self.sigmoid = nn.Sigmoid()


@register_attention(
    "triplet", paper="Misra et al., Rotate to Attend, WACV 2021", arxiv="2010.03045"
)
class TripletAttention(nn.Module):
    r"""Gate by the mean of three maps, one for each pair of the axes channel, height and width.

    $$y = \tfrac13\, x \odot \big(g_{cw} + g_{ch} + g_{hw}\big), \quad
    g_{ab} = \sigma\big(\mathrm{BN}(\mathrm{conv}_{7\times7}[\max_d x;\ \mathrm{mean}_d\,x])\big)$$

    where $d$ is the axis other than $a$ and $b$. The convolutions slide over channels as they do
    over rows, so neighbouring channels interact without a bottleneck.

    Placed: after the last convolution of each residual block, before the addition.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: num_gates·(2·kernel_size² + 2).
    Multiply-adds: num_gates·2·C·H·W + (2·kernel_size² + 2)·(C·W + C·H + spatial·H·W).

    Args:
        channels: channels C of the feature map; no parameter depends on them.
        kernel_size: size of the convolutions, odd.
        spatial: have the gate over height and width too.

    Raises:
        FovealError: if `kernel_size` is even.

    Departs: The convolutions have no bias, as in the authors' code; batch normalisation would
    cancel it.
    """

    def __init__(self, channels: int, kernel_size: int = 7, spatial: bool = True):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise FovealError(
                f"kernel_size={kernel_size} must be odd, so that a gate keeps its size"
            )
        self.kernel_size, self.spatial, self.num_gates = kernel_size, spatial, 2 + spatial
        self.cw = _Gate(kernel_size)
        self.ch = _Gate(kernel_size)
        self.hw = _Gate(kernel_size) if spatial else None

    def _gates(self, x: Map) -> list[Tensor]:
        """Each gate's share of the mean: (B, C, 1, W), (B, C, H, 1) and (B, 1, H, W)."""
        # Pooling takes each axis where it lies, so no permuted copy of x is made; the shares are
        # taken of the small gates, so that the whole map is written only to be added up.
        share = 1 / self.num_gates
        cw = self.cw(max_and_mean(x, dim=2)) * share  # (B, 1, C, W)
        ch = self.ch(max_and_mean(x, dim=3)) * share  # (B, 1, C, H)
        gates = [cw[:, 0, :, None], ch[:, 0, :, :, None]]
        return gates if self.hw is None else [*gates, self.hw(max_and_mean(x, dim=1)) * share]

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """The mean of the gates, in (0, 1)."""
        return reduce(add, self._gates(x))

    def forward(self, x: Map) -> Map:
        return gate_by_sum(x, *self._gates(x))
