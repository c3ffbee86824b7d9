"""Involution."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.neighbours import check_odd, weigh_neighbours
from foveal.ops.norm import BatchNorm2d
from foveal.ops.width import fitting_groups, hidden_width


@register_attention(
    "involution",
    paper="Li et al., Involution: Inverting the Inherence of Convolution, CVPR 2021",
    arxiv="2103.06255",
)
class Involution(nn.Module):
    r"""Convolve every position with a kernel of its own, which that position writes.

    $$y_{c,i} = \sum_t h_{g(c),t,i}\; x_{c,i+t}, \quad
    h_i = W_1\,\mathrm{ReLU}(\mathrm{BN}(W_0\, x_i)) + b \in \mathbb{R}^{G \times k^2}$$

    A convolution's kernel is one for all positions and differs by channel; here it differs by
    position and is one for all channels of a group. Unlike the weights of local self-attention,
    these come from the middle alone, without a look at the neighbours, and no softmax bounds them.

    Placed: in place of the 3 × 3 convolution of ResNet's bottlenecks.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·hidden + 2·hidden + groups·kernel_size²·(hidden + 1).
    Multiply-adds: N·(C·hidden + hidden + groups·kernel_size²·hidden + C·kernel_size²).

    Args:
        channels: channels C of the feature map.
        kernel_size: width k of a kernel, odd.
        groups: groups of channels, each with kernels of its own. Default: groups of the paper's 16
            channels, or wider ones where 16 does not divide the channels.
        reduction: r, by which the layer that kernels are written from is narrower.
        hidden: width of that layer. Default: C/r, at least 1.

    Raises:
        FovealError: if the kernel is even, the groups do not divide the channels, or a reduction or
            width is below 1.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 7,
        groups: int | None = None,
        reduction: int = 4,
        hidden: int | None = None,
    ):
        super().__init__()
        check_odd(kernel_size)
        if groups is None:
            groups = fitting_groups(channels, max(1, channels // 16))
        if groups < 1 or channels % groups:
            raise FovealError(f"channels={channels} do not divide into groups={groups}")
        self.kernel_size, self.groups = kernel_size, groups
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.reduce = nn.Sequential(
            nn.Conv2d(channels, self.hidden, 1, bias=False), BatchNorm2d(self.hidden), nn.ReLU()
        )
        self.write = nn.Conv2d(self.hidden, groups * kernel_size**2, 1)

    def _kernels(self, x: Map) -> Float[Tensor, "b groups k h w"]:
        return self.write(self.reduce(x)).unflatten(1, (self.groups, -1))

    def attention_map(self, x: Map) -> Float[Tensor, "b groups h w k"]:
        """The kernel of each position, its k² neighbours row by row, in (-∞, ∞)."""
        return self._kernels(x).permute(0, 1, 3, 4, 2)

    def forward(self, x: Map) -> Map:
        kernels = self._kernels(x).unsqueeze(2)
        grouped = x.unflatten(1, (self.groups, -1))
        return weigh_neighbours(grouped, kernels, self.kernel_size).flatten(1, 2)
