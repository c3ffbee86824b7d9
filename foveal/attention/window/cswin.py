"""Attention in a cross of stripes."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.heads import head_count
from foveal.ops.window import crop, is_open, padded_size
from foveal.ops.window_attend import attend_windows, window_weights


@register_attention("cswin", paper="Dong et al., CSWin Transformer, CVPR 2022",
                    arxiv="2107.00652")  # fmt: skip
class CSWin(nn.Module):
    r"""Let half of the heads attend in upright stripes and half in level ones, edge to edge.

    $$y = [\mathrm{attn}_{|}(x),\ \mathrm{attn}_{-}(x)]\, W_O, \qquad
    \mathrm{attn}(x) = \mathrm{softmax}\big(q k^\top / \sqrt{d}\big)\, v + \mathrm{dwconv}(v)$$

    A position sees a cross through the whole map in one layer, where windows need several to carry
    anything across. Where it lies it learns from a depthwise convolution of the values inside the
    stripe, which any size of map allows, and no table.

    Placed: in every block of CSWin, before the perceptron.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 4·C² + C + 3·qkv_bias·C + 10·C.
    Multiply-adds: 4·N·C² + upright·H·ceil(W / split_size)·split_size·(2·H·split_size + 10)
    + level·W·ceil(H / split_size)·split_size·(2·W·split_size + 10).

    Args:
        channels: channels C of the feature map.
        num_heads: heads of both halves together, an even number. Default: the paper's, one for 32
            channels, or as many as divide each half.
        split_size: width of a stripe. The paper's grows from stage to stage: 1, 2, 7, 7.
        qkv_bias: give queries, keys and values a bias.

    Raises:
        FovealError: if the heads do not divide the two halves of the channels, or the width is not
            positive.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        split_size: int = 7,
        qkv_bias: bool = False,
    ):
        super().__init__()
        if split_size < 1:
            raise FovealError(f"split_size={split_size} must be positive")
        if num_heads is not None and (num_heads % 2 or channels % max(num_heads, 1)):
            raise FovealError(
                f"num_heads={num_heads} must be even and divide channels={channels}: half of the "
                "heads take half of the channels"
            )
        self.upright, self.level = (channels + 1) // 2, channels // 2
        self.heads = [
            head_count(width, None if num_heads is None else num_heads // 2) if width else 0
            for width in (self.upright, self.level)
        ]
        self.split_size, self.qkv_bias = split_size, qkv_bias
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=qkv_bias)
        self.local = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.proj = nn.Conv2d(channels, channels, 1)

    def _halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Queries, keys and values of each half: (3, B, C/2, H, W), the level half turned."""
        qkv = self.qkv(x).unflatten(1, (3, -1)).transpose(0, 1)
        upright, level = qkv.split((self.upright, self.level), dim=2)
        return upright, level.mT

    def _stripes(self, half: Tensor) -> tuple[Tensor, Tensor | None]:
        """The tokens of each upright stripe, and which of its keys are on the map."""
        side, width = self.split_size, half.shape[-1]
        missing = padded_size(width, side) - width
        if not is_open(width) and not missing:
            return rearrange(half, "t b c h (n w) -> t b n (h w) c", w=side), None
        tokens = rearrange(F.pad(half, (0, missing)), "t b c h (n w) -> t b n (h w) c", w=side)
        inside = (torch.arange(width + missing, device=half.device) < width).view(-1, 1, side)
        inside = inside | ~inside.any(-1, keepdim=True)  # an empty stripe sees itself
        return tokens, inside.expand(-1, half.shape[-2], -1).flatten(1)[:, None]

    def _attend(self, half: Tensor, heads: int, weight: Tensor, bias: Tensor) -> Tensor:
        (height, width), side = half.shape[-2:], self.split_size
        tokens, mask = self._stripes(half)
        q, k, v = tokens.unbind(0)
        y = attend_windows(q, k, v, heads, mask=mask)
        v = rearrange(v, "b n (h w) c -> (b n) c h w", w=side)
        local = F.conv2d(v, weight, bias, padding=1, groups=v.shape[1])
        y = y + rearrange(local, "(b n) c h w -> b n (h w) c", b=half.shape[1])
        return crop(rearrange(y, "b n (h w) c -> b c h (n w)", w=side), height, width)

    def attention_map(self, x: Map, level: bool = False) -> Float[Tensor, "b stripes heads n n"]:
        """How much each position of an upright stripe, or of a level one, takes from each of them;
        rows sum to 1."""
        (q, k, _), mask = self._stripes(self._halves(x)[level])
        return window_weights(q, k, self.heads[level], mask=mask)

    def forward(self, x: Map) -> Map:
        upright, level = self._halves(x)
        weights = self.local.weight.split((self.upright, self.level))
        biases = self.local.bias.split((self.upright, self.level))  # pyright: ignore
        y = self._attend(upright, self.heads[0], weights[0], biases[0])
        if self.level:
            turned = self._attend(level, self.heads[1], weights[1].mT, biases[1])
            y = torch.cat((y, turned.mT), dim=1)
        return self.proj(y)
