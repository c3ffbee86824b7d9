"""Multi-Dconv head transposed attention."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.cross_covariance import cross_covariance_weights
from foveal.ops.heads import heads_for


@register_attention("mdta", paper="Zamir et al., Restormer, CVPR 2022", arxiv="2111.09881")
class MDTA(nn.Module):
    r"""Let channels attend to channels, each first seen together with its 3 × 3 surroundings.

    $$y = W_O\,\mathrm{concat}_h\Big(\mathrm{softmax}\big(\tau_h \hat Q_h \hat K_h^\top\big)
    V_h\Big), \quad Q, K, V = \mathrm{dwconv}_{3 \times 3}(W x)$$

    The attention is that of XCiT, among the rows of Q and K, each of norm 1. The depthwise
    convolution that makes them looks at neighbours, so that here the grid matters; and the weights
    stay as few on the large maps of image restoration.

    Placed: as the attention of every block of Restormer, at every level of its U.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 4·C² + 3·C·kernel_size² + bias·7·C + num_heads.
    Multiply-adds: (4·C + 3·kernel_size² + 2·head_channels + 5)·C·H·W + 3·C·head_channels + C.

    Args:
        channels: channels C of the feature map.
        num_heads: heads, within which channels attend. Default: one for every 48 channels, as in
            the paper, at most 8, and as many as divide the channels.
        kernel_size: of the depthwise convolution, odd.
        bias: give all convolutions a bias.

    Raises:
        FovealError: if the heads asked for do not divide the channels, or `kernel_size` is even.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        kernel_size: int = 3,
        bias: bool = False,
    ):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise FovealError(f"kernel_size={kernel_size} must be odd, so that it has a middle")
        self.num_heads = heads_for(channels, num_heads, least=48)
        self.head_channels = channels // self.num_heads
        self.kernel_size, self.bias = kernel_size, bias
        wide = 3 * channels
        self.qkv = nn.Conv2d(channels, wide, 1, bias=bias)
        self.surroundings = nn.Conv2d(
            wide, wide, kernel_size, padding=kernel_size // 2, groups=wide, bias=bias
        )
        self.temperature = nn.Parameter(torch.ones(self.num_heads, 1, 1))
        self.proj = nn.Conv2d(channels, channels, 1, bias=bias)

    def _attend(self, x: Map) -> tuple[Tensor, Tensor]:
        """The weights, and the values (B, heads, d, N)."""
        seen = self.surroundings(self.qkv(x))
        parts = seen.unflatten(1, (3, self.num_heads, -1)).flatten(4)
        q, k, v = parts.unbind(1)  # each (B, heads, d, N)
        return cross_covariance_weights(q, k, self.temperature), v

    def attention_map(self, x: Map) -> Float[Tensor, "b heads d d"]:
        """How much each channel of a head takes from each; rows sum to 1."""
        return self._attend(x)[0]

    def forward(self, x: Map) -> Map:
        weights, values = self._attend(x)
        return self.proj((weights @ values).flatten(1, 2).view(x.shape))
