"""Conditionally parameterised convolution."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.attention.branch.dynamic_conv import expert_kernels, mix_kernels
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.image_kernels import convolve_images


@register_attention(
    "condconv",
    paper="Yang et al., CondConv: Conditionally Parameterized Convolutions, NeurIPS 2019",
    arxiv="1904.04971",
)
class CondConv(nn.Module):
    r"""Convolve with a sum of experts' kernels, each let in or kept out by its own gate.

    $$y = \Big(\sum_k \sigma(r_k^\top\,\mathrm{mean}_{hw}\,x + b_k)\,W_k\Big) * x$$

    Dynamic convolution makes its kernels compete for shares that sum to 1 and hides a layer before
    the choice; here one layer routes, and any number of experts may be open at once.

    Placed: in place of ordinary convolutions in the later blocks of a network.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: num_experts·C·taps + num_experts·(C + 1).
    Multiply-adds: (taps + 1)·C·N + num_experts·C·(taps + 1).

    Args:
        channels: channels C of the feature map.
        kernel_size: width of the kernels, odd.
        num_experts: kernels to choose from.
        groups: of the convolution.

    Raises:
        FovealError: if there is no expert, the kernel is even, or the groups do not divide the
            channels.
    """

    def __init__(self, channels: int, kernel_size: int = 3, num_experts: int = 8, groups: int = 1):
        super().__init__()
        self.kernels = expert_kernels(num_experts, channels, kernel_size, groups)
        self.num_experts, self.groups = num_experts, groups
        self.taps = kernel_size**2 * channels // groups
        self.route = nn.Linear(channels, num_experts)

    def attention_map(self, x: Map) -> Float[Tensor, "b experts"]:
        """How far each expert's gate is open, in [0, 1]."""
        return self.route(x.mean((2, 3))).sigmoid()

    def forward(self, x: Map) -> Map:
        kernels = mix_kernels(self.attention_map(x), self.kernels)
        return convolve_images(x, kernels, groups=self.groups)
