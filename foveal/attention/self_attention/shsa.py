"""Single-head self-attention of SHViT."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map, Tokens
from foveal.ops.attend import attend, attention_weights
from foveal.ops.norm import BatchNorm2d


@register_attention(
    "shsa", paper="Yun and Ro, SHViT: Single-Head Vision Transformer, CVPR 2024", arxiv="2401.16456"
)
class SHSA(nn.Module):
    r"""Attend with one head on a fifth of the channels, and let the last layer mix in the others.

    $$y = W_O\,\mathrm{ReLU}\big[\mathrm{softmax}(Q K^\top / \sqrt{d})\,V,\ x_2\big], \quad
    Q, K, V = W\,\mathrm{GN}(x_1), \quad x = [x_1, x_2]$$

    Several heads are found to repeat each other, so there is one; and it costs little, for it reads
    and writes few channels and its queries are narrow. The channels that pass by keep what is
    local. There is no residual in it: the block adds one.

    Placed: in the blocks of SHViT's last two stages, between a depthwise convolution and the
    perceptron.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 2·attended + (attended + 2)·(2·key_channels + attended) + C² + 2·C.
    Multiply-adds: N·(4·attended + (attended + 1)·(2·key_channels + attended) + C² + C)
    + 2·N²·max(key_channels, attended).

    Args:
        channels: channels C of the feature map.
        attended: channels that attention reads. Default: the paper's C / 4.67, at least 1.
        key_channels: width of queries and keys.

    Raises:
        FovealError: if `attended` is not between 1 and C, or the width is below 1.

    Departs: The last normalisation is born 1 and not 0, which the authors have for the sake of the
    residual around it.
    """

    def __init__(self, channels: int, attended: int | None = None, key_channels: int = 16):
        super().__init__()
        self.attended = max(1, round(channels / 4.67)) if attended is None else attended
        if not 1 <= self.attended <= channels:
            raise FovealError(f"attended={attended} must be at least 1, and at most {channels}")
        if key_channels < 1:
            raise FovealError(f"key_channels={key_channels} must be at least 1")
        self.key_channels = key_channels
        self.widths = [key_channels, key_channels, self.attended]
        inner = sum(self.widths)
        self.norm = nn.GroupNorm(1, self.attended)
        self.qkv = nn.Sequential(nn.Conv2d(self.attended, inner, 1, bias=False), BatchNorm2d(inner))
        self.proj = nn.Sequential(
            nn.ReLU(), nn.Conv2d(channels, channels, 1, bias=False), BatchNorm2d(channels)
        )

    def _halves(self, x: Map) -> list[Map]:
        """The channels that attention is given, and the rest."""
        return list(x.split((self.attended, x.shape[1] - self.attended), 1))

    def _project(self, attended: Map) -> tuple[Tokens, Tokens, Tokens]:
        qkv = self.qkv(self.norm(attended))
        tokens = rearrange(qkv, "b c h w -> b (h w) c").contiguous()
        q, k, v = tokens.split(self.widths, dim=-1)
        return q, k, v

    def attention_map(self, x: Map) -> Float[Tensor, "b n n"]:
        """How much each position takes from each; rows sum to 1. Forms N × N."""
        q, k, _ = self._project(self._halves(x)[0])
        return attention_weights(q, k)

    def forward(self, x: Map) -> Map:
        given, rest = self._halves(x)
        found = rearrange(attend(*self._project(given)), "b (h w) c -> b c h w", h=x.shape[2])
        return self.proj(torch.cat((found, rest), dim=1))
