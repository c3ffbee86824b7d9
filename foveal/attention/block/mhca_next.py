"""Next-ViT's multi-head convolutional attention."""

from torch import nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.activation import activation
from foveal.ops.heads import head_count
from foveal.ops.norm import BatchNorm2d


@register_attention("mhca_next", paper="Li et al., Next-ViT, arXiv 2022", arxiv="2207.05501")
class MHCANext(nn.Module):
    r"""Let each head see its neighbours through a learned kernel, and mix what the heads found.

    $$y = W_P\,\mathrm{ReLU}\big(\mathrm{BN}([\mathrm{conv}_k(x_1); \ldots;
    \mathrm{conv}_k(x_h)])\big)$$

    Heads and a projection, as self-attention has them, but a weight belongs to a relative position
    and a pair of channels whatever the image shows: no query meets a key. What remains to look at
    are the heads' responses.

    Placed: in Next-ViT's convolutional blocks, the most of each stage, before the perceptron.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·(kernel_size²·head_channels + C + 2).
    Multiply-adds: N·C·(kernel_size²·head_channels + C + 1).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the paper's, one for 32 channels, or as many as divide them.
        kernel_size: of the heads' convolution, odd.
        act: activation of the heads, by name.

    Raises:
        FovealError: if the heads do not divide the channels, the kernel is even, or the activation
            is unknown.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        kernel_size: int = 3,
        act: str = "relu",
    ):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise FovealError(f"kernel_size={kernel_size} must be odd, to keep the map's size")
        self.num_heads, self.kernel_size = head_count(channels, num_heads), kernel_size
        self.head_channels = channels // self.num_heads
        self.heads = nn.Sequential(
            nn.Conv2d(
                channels,
                channels,
                kernel_size,
                padding=kernel_size // 2,
                groups=self.num_heads,
                bias=False,
            ),
            BatchNorm2d(channels),
            activation(act),
        )
        self.proj = nn.Conv2d(channels, channels, 1, bias=False)

    def attention_map(self, x: Map) -> Map:
        """How strongly each channel of the heads responds at each position, in (-∞, ∞); with the
        default activation not below 0."""
        return self.heads(x)

    def forward(self, x: Map) -> Map:
        return self.proj(self.heads(x))
