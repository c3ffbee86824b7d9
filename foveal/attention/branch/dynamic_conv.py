"""Dynamic convolution."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.image_kernels import convolve_images
from foveal.ops.width import hidden_width


def expert_kernels(num_experts: int, channels: int, kernel_size: int, groups: int) -> nn.Parameter:
    """Kernels (experts · C, C / groups, k, k), born as `nn.Conv2d` bears its own.

    Raises:
        FovealError: if there is no expert, the kernel is even, or the groups do not divide the
            channels.
    """
    if num_experts < 1:
        raise FovealError(f"num_experts={num_experts} must be at least 1")
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise FovealError(f"kernel_size={kernel_size} must be odd, to keep the map's size")
    if groups < 1 or channels % groups:
        raise FovealError(f"channels={channels} do not divide into groups={groups}")
    kernels = torch.empty(num_experts * channels, channels // groups, kernel_size, kernel_size)
    return nn.Parameter(nn.init.kaiming_uniform_(kernels, a=5**0.5))


def mix_kernels(
    shares: Float[Tensor, "b experts"], kernels: Float[Tensor, "e_o i k k"]
) -> Float[Tensor, "b o i k k"]:
    """Each image's weighted sum of the experts' kernels."""
    experts = kernels.unflatten(0, (shares.shape[1], -1))
    return (shares @ experts.flatten(1)).unflatten(1, experts.shape[1:])


@register_attention(
    "dynamic_conv",
    paper="Chen et al., Dynamic Convolution: Attention over Convolution Kernels, CVPR 2020",
    arxiv="1912.03458",
)
class DynamicConv(nn.Module):
    r"""Convolve with a weighted mean of several kernels, the weights attended to by each image.

    $$y = \Big(\sum_k \pi_k\,W_k\Big) * x + \sum_k \pi_k\,b_k, \quad
    \pi = \mathrm{softmax}_k\big((V_2\,\mathrm{ReLU}(V_1\,\mathrm{mean}_{hw}\,x) + v)/\tau\big)$$

    Kernels are summed, not their results, so several cost little more than one. Selective kernels
    weigh channel by channel what each path has computed; here one number weighs a whole kernel.

    Placed: in place of every convolution but the first.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: num_experts·C·(taps + 1) + C·hidden + hidden + num_experts·(hidden + 1).
    Multiply-adds: (taps + 1)·C·N + num_experts·C·(taps + 1) + C·hidden
    + num_experts·(hidden + 3).

    Args:
        channels: channels C of the feature map.
        kernel_size: width of the kernels, odd.
        num_experts: kernels to choose from, the paper's K.
        groups: of the convolution.
        reduction: r, by which the hidden layer is narrower.
        hidden: width of the hidden layer. Default: C/r, at least 1.
        temperature: τ, by which scores are divided. Large, it keeps the weights near uniform, so
            that all kernels learn. The paper trains at 30, or anneals from 30 to 1 in the first
            ten epochs: set the attribute `temperature` as training goes on.

    Raises:
        FovealError: if the kernel is even, the groups do not divide the channels, the temperature
            is not positive, or a number is below 1.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        num_experts: int = 4,
        groups: int = 1,
        reduction: int = 4,
        hidden: int | None = None,
        temperature: float = 30.0,
    ):
        super().__init__()
        if temperature <= 0:
            raise FovealError(f"temperature={temperature} must be positive")
        self.kernels = expert_kernels(num_experts, channels, kernel_size, groups)
        self.bias = nn.Parameter(torch.zeros(num_experts, channels))
        self.num_experts, self.groups, self.temperature = num_experts, groups, temperature
        self.taps = kernel_size**2 * channels // groups
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.squeeze = nn.Linear(channels, self.hidden)
        self.score = nn.Linear(self.hidden, num_experts)

    def attention_map(self, x: Map) -> Float[Tensor, "b experts"]:
        """Each kernel's share, in (0, 1); an image's shares sum to 1."""
        scores = self.score(self.squeeze(x.mean((2, 3))).relu())
        return (scores / self.temperature).softmax(1)

    def forward(self, x: Map) -> Map:
        shares = self.attention_map(x)
        kernels = mix_kernels(shares, self.kernels)
        return convolve_images(x, kernels, shares @ self.bias, self.groups)
