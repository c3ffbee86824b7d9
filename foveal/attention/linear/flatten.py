"""Focused linear attention (FLatten Transformer)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.feature_maps import linear_attend
from foveal.ops.heads import heads_for, merge_heads, split_heads
from foveal.ops.neighbours import check_odd
from foveal.ops.resize import bilinear
from foveal.ops.window import Size, pair


@register_attention(
    "flatten", paper="Han et al., FLatten Transformer, ICCV 2023", arxiv="2308.00442"
)
class Flatten(nn.Module):
    r"""Attend linearly with features raised to a power, and add what neighbours hold.

    $$y = W_O\Big(\frac{\phi(Q)\,\big(\phi(K)^\top V\big)}{\phi(Q) \sum_j \phi(K_j)}
    + \mathrm{dwconv}\,V\Big), \quad \phi(x) = \lVert u \rVert \frac{u^p}{\lVert u^p \rVert},
    \quad u = \frac{\mathrm{ReLU}(x)}{\mathrm{softplus}(s)}$$

    The power turns features towards their largest axis and keeps their length: those alike draw
    together, others apart, and linear attention becomes sharp. The convolution gives back the
    rank that such attention, which has no more than a head has channels, cannot have.

    Placed: in place of self-attention in DeiT, PVT, Swin and CSWin.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 4·C² + qkv_bias·3·C + 2·C + C·window_height·window_width
    + (kernel_size² + 1)·C/num_heads.
    Multiply-adds: N·(4·C² + (kernel_size² + 2·power + 14)·C
    + num_heads·(2·(C/num_heads)² + 1) + 4·C) + C·H·window_width·(window_height + W).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: 8, or fewer where 8 does not divide the channels.
        power: p, the focusing factor, a whole number.
        kernel_size: of the depthwise convolution, which all heads share; odd.
        window_size: height and width for which the keys' positions are learned; at another size
            they are stretched or squeezed, linearly.
        qkv_bias: give queries, keys and values a bias.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if the heads do not divide the channels, the kernel is even, or the power is
            below 1.

    Departs: The authors' table of positions fits one size only. They add their ε to the mean over
    the keys, here it is added to the sum.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        power: int = 3,
        kernel_size: int = 5,
        window_size: int | Size = 14,
        qkv_bias: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__()
        check_odd(kernel_size)
        if power < 1 or power % 1:
            raise FovealError(f"power={power} must be a whole number, at least 1")
        self.num_heads, self.power = heads_for(channels, num_heads), int(power)
        self.kernel_size, self.qkv_bias = kernel_size, qkv_bias
        self.window_height, self.window_width = window = pair(window_size)
        width = channels // self.num_heads
        self.qkv = nn.Linear(channels, 3 * channels, bias=qkv_bias)
        self.positions = nn.Parameter(torch.zeros(1, channels, *window))
        self.scale = nn.Parameter(torch.zeros(channels))
        self.local = nn.Conv2d(width, width, kernel_size, padding=kernel_size // 2, groups=width)
        self.proj = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def _focus(self, x: Tensor) -> Float[Tensor, "b heads n d"]:
        # In half precision, powers would vanish.
        wide = torch.promote_types(x.dtype, torch.float32)
        u = (x.relu().to(wide) + 1e-6) / F.softplus(self.scale).to(wide)
        length = torch.linalg.vector_norm(u, dim=-1, keepdim=True)
        focused = (u / length) ** self.power  # of numbers up to 1: no power overflows
        back = length / torch.linalg.vector_norm(focused, dim=-1, keepdim=True)
        return split_heads(focused * back, self.num_heads)

    def _parts(self, x: Map) -> tuple[Tensor, Tensor, Tensor]:
        """Features of queries and keys, by head, and values (B, N, C)."""
        q, k, v = self.qkv(x.flatten(2).mT).chunk(3, -1)
        positions = bilinear(self.positions, *x.shape[2:], align_corners=False)
        return self._focus(q), self._focus(k + positions.flatten(2).mT), v

    def attention_map(self, x: Map) -> Float[Tensor, "b heads n n"]:
        """How much each position takes from each, in [0, 1], before the convolution is added.
        Forms N × N."""
        q, k, _ = self._parts(x)
        weights = q @ k.mT
        return (weights / (weights.sum(-1, keepdim=True) + 1e-6)).to(x.dtype)

    def forward(self, x: Map) -> Map:
        size = x.shape[2:]
        q, k, v = self._parts(x)
        found = merge_heads(linear_attend(q, k, split_heads(v, self.num_heads)))
        taps = self.local.weight.repeat(self.num_heads, 1, 1, 1)
        bias = self.local.bias.repeat(self.num_heads)  # pyright: ignore
        edge = self.kernel_size // 2
        local = F.conv2d(v.mT.unflatten(2, size), taps, bias, padding=edge, groups=len(taps))
        return self.dropout(self.proj(found + local.flatten(2).mT)).mT.unflatten(2, size)
