"""Lightweight multi-scale linear attention (EfficientViT)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.feature_maps import linear_attend
from foveal.ops.norm import BatchNorm2d


@register_attention("litemla", paper="Cai et al., EfficientViT, ICCV 2023", arxiv="2205.14756")
class LiteMLA(nn.Module):
    r"""Attend linearly, by rectified queries and keys, once at each of several scales.

    $$y = \mathrm{BN}\Big(W_O\,\mathrm{concat}_{s,h}\,
    \frac{\mathrm{ReLU}(Q)\,\big(\mathrm{ReLU}(K)^\top V\big)}
    {\mathrm{ReLU}(Q)\,\sum_j \mathrm{ReLU}(K_j) + \varepsilon}\Big), \quad
    [Q, K, V]_{s,h} = W_{s,h}\,\mathrm{dwconv}_s(W x)$$

    Linear attention is blunt: its weights cannot be sharp. Depthwise convolutions of queries, keys
    and values give it neighbourhoods to match, where focused linear attention sharpens features.

    Placed: in the last two stages of EfficientViT, each followed by an inverted residual block.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 3·inner·(C + taps + num_scales·head_channels) + (1 + num_scales)·inner·C + 2·C.
    Multiply-adds: N·(3·inner·(C + taps + num_scales·head_channels)
    + (1 + num_scales)·(inner·C + num_heads·(2·head_channels² + 4·head_channels + 1)) + C).

    Args:
        channels: channels C of the feature map.
        num_heads: heads at each scale. Default: C / `head_channels`, at least 1.
        head_channels: width of a head.
        kernel_size: of the depthwise convolution of each scale beside the input's own, odd.
        eps: ε, what the sum of a position's weights is given besides.

    Raises:
        FovealError: for a kernel that is even, or a number of heads or a width below 1.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        head_channels: int = 8,
        kernel_size: Sequence[int] = (5,),
        eps: float = 1e-15,
    ):
        super().__init__()
        if head_channels < 1 or (num_heads is not None and num_heads < 1):
            raise FovealError(
                f"num_heads={num_heads}, head_channels={head_channels} must be positive"
            )
        if isinstance(kernel_size, int) or any(k < 1 or k % 2 == 0 for k in kernel_size):
            raise FovealError(f"kernel_size={kernel_size} must be a sequence of odd numbers")
        self.num_heads = max(1, channels // head_channels) if num_heads is None else num_heads
        self.head_channels, self.num_scales, self.eps = head_channels, len(kernel_size), eps
        self.inner, self.taps = self.num_heads * head_channels, sum(k * k for k in kernel_size)
        width, parts = 3 * self.inner, 3 * self.num_heads
        self.qkv = nn.Conv2d(channels, width, 1, bias=False)
        self.scales = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, k, padding=k // 2, groups=width, bias=False),
                nn.Conv2d(width, width, 1, groups=parts, bias=False),
            )
            for k in kernel_size
        )
        self.proj = nn.Sequential(
            nn.Conv2d((1 + self.num_scales) * self.inner, channels, 1, bias=False),
            BatchNorm2d(channels),
        )

    def _heads(self, qkv: Map) -> list[Tensor]:
        """Features of queries and of keys, and values: (B, heads, N, width) each."""
        heads = qkv.flatten(2).unflatten(1, (self.num_heads, 3, -1))
        q, k, v = heads.unbind(2)
        return [q.relu().mT, k.relu().mT, v.mT]

    def attention_map(self, x: Map, scale: int = 0) -> Float[Tensor, "b heads n n"]:
        """How much each position takes from each, at the input's own scale or the `scale`-th other,
        in [0, 1]; rows sum to 1, or to 0 where a query matches nothing. Forms N × N."""
        qkv = self.qkv(x)
        q, k, _ = self._heads(self.scales[scale - 1](qkv) if scale else qkv)
        wide = torch.promote_types(q.dtype, torch.float32)
        weights = q.to(wide) @ k.to(wide).mT
        return (weights / (weights.sum(-1, keepdim=True) + self.eps)).to(x.dtype)

    def forward(self, x: Map) -> Map:
        qkv = self.qkv(x)
        found = [
            linear_attend(*self._heads(scaled), eps=self.eps).mT.flatten(1, 2)
            for scaled in (qkv, *(layer(qkv) for layer in self.scales))
        ]
        return self.proj(torch.cat(found, 1).unflatten(2, x.shape[2:]))
