"""Partial self-attention (YOLOv10)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.activation import activation
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import heads_for
from foveal.ops.norm import BatchNorm2d
from foveal.ops.width import hidden_width


def _conv(
    read: int, write: int, act: str = "identity", kernel_size: int = 1, groups: int = 1
) -> nn.Sequential:
    conv = nn.Conv2d(read, write, kernel_size, padding=kernel_size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, BatchNorm2d(write), activation(act))


class _Layer(nn.Module):
    """Attention and perceptron on a map, with batch norm after each convolution."""

    def __init__(
        self,
        width: int,
        num_heads: int,
        key_channels: int,
        hidden: int,
        kernel_size: int,
        act: str,
    ):
        super().__init__()
        self.num_heads = num_heads
        self.widths = [num_heads * key_channels] * 2 + [width]
        self.qkv = _conv(width, sum(self.widths))
        self.position = _conv(width, width, kernel_size=kernel_size, groups=width)
        self.proj = _conv(width, width)
        self.mlp = nn.Sequential(_conv(width, hidden, act), _conv(hidden, width))

    def heads(self, qkv: Map) -> list[Tensor]:
        """Queries, keys and values: (B, heads, N, width of a head)."""
        parts = qkv.flatten(2).split(self.widths, dim=1)
        return [part.unflatten(1, (self.num_heads, -1)).mT for part in parts]

    def forward(self, x: Map) -> Map:
        qkv = self.qkv(x)
        taken = attend(*self.heads(qkv)).mT.flatten(1, 2).unflatten(2, x.shape[2:])
        x = x + self.proj(taken + self.position(qkv[:, -self.widths[2] :]))
        return x + self.mlp(x)


@register_attention(
    "psa_yolo",
    paper="Wang et al., YOLOv10: Real-Time End-to-End Object Detection, NeurIPS 2024",
    arxiv="2405.14458",
)
class PartialSelfAttention(nn.Module):
    r"""Send half of the channels through self-attention, and mix them with the half left alone.

    $$y = \mathrm{conv}\big([a;\; z + \mathrm{MLP}(z)]\big), \quad z = b + \mathrm{MHSA}(b),
    \quad [a; b] = \mathrm{conv}(x)$$

    Attention's cost falls to half of the channels, and queries and keys have half the width of the
    values. A depthwise convolution of the values, added to what attention gives, tells positions
    apart. Batch norms stand after all convolutions where a transformer has layer norms before,
    so that all of them fold away once trained.

    Placed: once, at the end of the backbone, on the coarsest map.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 2·C² + 4·C + depth·(width·(inner + width + 2·hidden + kernel_size²) + 2·inner
    + 6·width + 2·hidden).
    Multiply-adds: N·(2·C² + 2·C + depth·(width·(inner + width + 2·hidden + kernel_size²) + inner
    + 6·width + hidden + 2·N·num_heads·max(key_channels, width // num_heads))).

    Args:
        channels: channels C of the feature map.
        width: channels that attention is given. Default: half of them.
        num_heads: heads. Default: one for 64 of those channels.
        key_channels: width of a head's queries and keys. Default: half of its values'.
        mlp_ratio: width of the perceptron's hidden layer over `width`.
        depth: layers of attention and perceptron.
        kernel_size: side of the depthwise convolution of the values, odd.
        act: activation, by name.

    Raises:
        FovealError: if the width is not between 1 and the channels, the heads do not divide it, a
            number is below 1, the kernel is even, or the activation is unknown.

    Departs: The paper leaves open the perceptron's width (here twice the channels) and how
    positions are told apart; the convolution of the values is the released models'. Those give
    every batch norm ε = 10⁻³ and a momentum of 0.03, where this has torch's.
    """

    def __init__(
        self,
        channels: int,
        width: int | None = None,
        num_heads: int | None = None,
        key_channels: int | None = None,
        mlp_ratio: float = 2.0,
        depth: int = 1,
        kernel_size: int = 3,
        act: str = "silu",
    ):
        super().__init__()
        width = max(1, channels // 2) if width is None else width
        if not 1 <= width <= channels or depth < 1:
            raise FovealError(
                f"width={width} must lie between 1 and channels={channels}, and depth={depth} be "
                "at least 1"
            )
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise FovealError(f"kernel_size={kernel_size} must be odd and positive")
        self.num_heads = heads_for(width, num_heads, usual=max(1, width // 64))
        value_channels = width // self.num_heads
        key_channels = max(1, value_channels // 2) if key_channels is None else key_channels
        if key_channels < 1:
            raise FovealError(f"key_channels={key_channels} must be at least 1")
        self.hidden = hidden_width(width, 1, hidden=int(mlp_ratio * width))
        self.width, self.depth, self.key_channels = width, depth, key_channels
        self.kernel_size = kernel_size
        self.inner = 2 * self.num_heads * key_channels + width
        self.split = _conv(channels, channels, act)
        self.layers = nn.Sequential(
            *(
                _Layer(width, self.num_heads, key_channels, self.hidden, kernel_size, act)
                for _ in range(depth)
            )
        )
        self.fuse = _conv(channels, channels, act)

    def _halves(self, x: Map) -> tuple[Tensor, Tensor]:
        """The channels that are left alone, and those that attention is given."""
        y = self.split(x)
        return y[:, : -self.width], y[:, -self.width :]

    def attention_map(self, x: Map, layer: int = 0) -> Float[Tensor, "b heads n n"]:
        """How much each position takes from each, per head, in the first layer or another; rows
        sum to 1. Forms N × N."""
        given = self.layers[:layer](self._halves(x)[1])
        chosen = self.layers[layer]
        q, k, _ = chosen.heads(chosen.qkv(given))  # pyright: ignore
        return attention_weights(q, k)

    def forward(self, x: Map) -> Map:
        alone, given = self._halves(x)
        return self.fuse(torch.cat((alone, self.layers(given)), 1))
