"""Efficient channel attention."""

from math import log2

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.activation import activation
from foveal.ops.gate import gate_channels


def adaptive_kernel_size(channels: int, gamma: float = 2, b: float = 1) -> int:
    """Neighbours each channel consults: |(log2 C + b) / gamma|, made odd (eq. 12)."""
    k = int(abs(log2(channels) + b) / gamma)
    return k if k % 2 else k + 1


@register_attention("eca", paper="Wang et al., ECA-Net, CVPR 2020", arxiv="1910.03151")
class ECA(nn.Module):
    r"""Gate each channel by a short 1-D convolution over the channel means.

    $$y = x \odot \sigma\big(\mathrm{conv}_k(\mathrm{mean}_{hw}\,x)\big)$$

    Where SE squeezes through a bottleneck, ECA lets a channel see only its k neighbours,
    and so needs k parameters instead of 2C²/r.

    Placed: after the last convolution of each residual block, before the addition.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: kernel_size + bias.
    Multiply-adds: 2·C·H·W + kernel_size·C.

    Args:
        channels: channels C of the feature map.
        kernel_size: neighbours k, odd. Default: the paper's rule, `adaptive_kernel_size(channels)`.
        circular: let the first and last channels be neighbours, where the paper sees zeros.
        bias: give the convolution a bias.
        gate: what makes weights of the scores, by name.

    Raises:
        FovealError: if `kernel_size` is even, or the activation unknown.
    """

    weighs_means = True
    """Whether `weigh` needs nothing but the channels' means, so that others may share them."""

    def __init__(
        self,
        channels: int,
        kernel_size: int | None = None,
        circular: bool = False,
        bias: bool = False,
        gate: str = "sigmoid",
    ):
        super().__init__()
        k = adaptive_kernel_size(channels) if kernel_size is None else kernel_size
        if k < 1 or k % 2 == 0:
            raise FovealError(
                f"kernel_size={k} must be odd, so that a channel stands in the middle"
            )
        if circular and k // 2 > channels:
            raise FovealError(f"kernel_size={k} goes round {channels} channels more than once")
        self.kernel_size, self.bias = k, bias
        mode = "circular" if circular else "zeros"
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2, padding_mode=mode, bias=bias)
        self.gate = activation(gate)

    def attention_map(self, x: Map) -> Float[Tensor, "b c 1 1"]:
        """One weight per channel, in (0, 1)."""
        return self.weigh(x.mean((2, 3)))[..., None, None]

    def weigh(self, means: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """The weights, from the channels' means."""
        return self.gate(self.conv(means[:, None]))[:, 0]

    def forward(self, x: Map) -> Map:
        return gate_channels(x, self.weigh, self.parameters())
