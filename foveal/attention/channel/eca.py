"""Efficient channel attention."""

from math import log2

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Map


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

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: kernel_size.
    Multiply-adds: 2·C·H·W + kernel_size·C.

    Args:
        channels: channels C of the feature map.
        kernel_size: neighbours k, odd. Default: the paper's rule, `adaptive_kernel_size(channels)`.

    Raises:
        ValueError: if `kernel_size` is even.
    """

    def __init__(self, channels: int, kernel_size: int | None = None):
        super().__init__()
        k = adaptive_kernel_size(channels) if kernel_size is None else kernel_size
        if k < 1 or k % 2 == 0:
            raise ValueError(f"kernel_size={k} must be odd, so that a channel stands in the middle")
        self.kernel_size = k
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)

    def attention_map(self, x: Map) -> Float[Tensor, "b c 1 1"]:
        means = x.mean((2, 3))  # (B, C)
        scores = self.conv(means[:, None])  # (B, 1, C)
        return scores.sigmoid().mT[..., None]  # in (0, 1)

    def forward(self, x: Map) -> Map:
        return x * self.attention_map(x)
