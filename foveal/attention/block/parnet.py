"""ParNet's block."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.activation import activation
from foveal.ops.norm import BatchNorm2d


def _path(channels: int, size: int, groups: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, channels, size, padding=size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, BatchNorm2d(channels))


@register_attention(
    "parnet", paper="Goyal et al., Non-deep Networks, NeurIPS 2022", arxiv="2110.07641"
)
class ParNet(nn.Module):
    r"""Add a 3×3 and a pointwise convolution to a skip connection whose channels are gated.

    $$y = \mathrm{SiLU}\big(\mathrm{BN}(\mathrm{conv}_{3\times3}\,x)
    + \mathrm{BN}(\mathrm{conv}_{1\times1}\,x) + z \odot \sigma(W\,\mathrm{mean}_{hw}\,z)\big),
    \quad z = \mathrm{BN}(x)$$

    The gate (skip-SE) is squeeze-and-excitation without a bottleneck and on the skip connection
    alone, so that both convolutions can still be folded into one after training.

    Placed: as the block that ParNet's streams consist of.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: (kernel_size² + 2)·C·C/groups + 6·C.
    Multiply-adds: ((kernel_size² + 1)·C/groups + 6)·C·H·W + C·C/groups.

    Args:
        channels: channels C of the feature map.
        kernel_size: size of the wide convolution, odd.
        groups: of all three layers; with more than one the result's channels are shuffled.
        act: activation of the sum, by name.

    Raises:
        FovealError: if the size is even, the groups do not divide the channels, or the activation
            is unknown.
    """

    def __init__(self, channels: int, kernel_size: int = 3, groups: int = 1, act: str = "silu"):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise FovealError(
                f"kernel_size={kernel_size} must be odd, so that the map keeps its size"
            )
        if groups < 1 or channels % groups:
            raise FovealError(f"groups={groups} must divide the channels={channels}")
        self.kernel_size, self.groups = kernel_size, groups
        self.norm = BatchNorm2d(channels)
        self.gate = nn.Conv2d(channels, channels, 1, groups=groups, bias=False)
        self.wide = _path(channels, kernel_size, groups)
        self.point = _path(channels, 1, groups)
        self.act = activation(act)

    def _weigh(self, skip: Map) -> Float[Tensor, "b c 1 1"]:
        return self.gate(skip.mean((2, 3), keepdim=True)).sigmoid()

    def attention_map(self, x: Map) -> Float[Tensor, "b c 1 1"]:
        """One weight per channel of the skip connection, in (0, 1)."""
        return self._weigh(self.norm(x))

    def forward(self, x: Map) -> Map:
        skip = self.norm(x)
        y = torch.addcmul(self.wide(x) + self.point(x), skip, self._weigh(skip).to(skip.dtype))
        y = self.act(y)
        if self.groups > 1:
            y = rearrange(y, "b (g c) h w -> b (c g) h w", g=self.groups)
        return y
