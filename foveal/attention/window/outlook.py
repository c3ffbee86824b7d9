"""Outlook attention."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.neighbours import check_odd, weigh_neighbours
from foveal.ops.width import fitting_groups


@register_attention(
    "outlook", paper="Yuan et al., VOLO: Vision Outlooker, TPAMI 2022", arxiv="2106.13112"
)
class Outlook(nn.Module):
    r"""Let each position write, from itself alone, how all pairs of its neighbours mix.

    $$y_i = W_O \sum_{j:\,i \in \mathcal{N}(j)} \Big[\mathrm{softmax}_q(A_j)\,V_{\mathcal{N}(j)}
    \Big]_{i - j}, \quad A_j = d^{-1/2}\,(W_A\,\mathrm{mean}_{s \times s}\,x)_j
    \in \mathbb{R}^{k^2 \times k^2}, \quad V = W_V x$$

    No query meets a key: a linear layer at the middle of a window gives the weights of all its k⁴
    pairs, and where windows overlap their results are summed.

    Placed: in the blocks of VOLO's first stage, before the perceptron.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 2·C² + (qkv_bias + 1)·C + num_heads·kernel_size⁴·(C + 1).
    Multiply-adds: 2·C²·N + num_heads·kernel_size⁴·(C + 1)
    + num_heads·kernel_size⁴·(C + 2)·ceil(H/stride)·ceil(W/stride)
    + strided·(stride² + kernel_size⁴ + kernel_size²)·C·ceil(H/stride)·ceil(W/stride)
    + (1 − strided)·(num_heads·kernel_size⁴ + (2·kernel_size − 1)²·C)·N.

    Args:
        channels: channels C of the feature map.
        num_heads: groups of channels with weights of their own. Default: heads of 32 channels, as
            in VOLO-D1, or wider ones where 32 does not divide the channels.
        kernel_size: width k of a window, odd.
        stride: distance s between the middles of windows. 2 in all published VOLO models; 1 puts a
            window around every position.
        qkv_bias: give the values a bias.
        scale: factor on the scores. Default: 1/√d, for heads of d channels.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if the channels do not divide into the heads, the kernel is even, or the stride
            steps over positions.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        kernel_size: int = 3,
        stride: int = 2,
        qkv_bias: bool = False,
        scale: float | None = None,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        check_odd(kernel_size)
        if num_heads is None:
            num_heads = fitting_groups(channels, max(1, channels // 32))
        if num_heads < 1 or channels % num_heads:
            raise FovealError(f"channels={channels} do not divide into num_heads={num_heads}")
        if not 1 <= stride <= kernel_size:
            raise FovealError(
                f"stride={stride} must lie between 1 and kernel_size={kernel_size}, so that "
                "windows reach every position"
            )
        self.num_heads, self.kernel_size, self.stride = num_heads, kernel_size, stride
        self.strided, self.qkv_bias = stride > 1, qkv_bias
        self.scale = (channels // num_heads) ** -0.5 if scale is None else scale
        self.value = nn.Conv2d(channels, channels, 1, bias=qkv_bias)
        self.score = nn.Conv2d(channels, num_heads * kernel_size**4, 1)
        self.proj = nn.Conv2d(channels, channels, 1)
        self.attention_dropout = nn.Dropout(attention_dropout)
        self.dropout = nn.Dropout(dropout)

    def _weights(self, x: Map) -> Float[Tensor, "b heads p q h w"]:
        if self.strided:
            x = F.avg_pool2d(x, self.stride, self.stride, ceil_mode=True)
        weight, bias = (p * self.scale for p in self.score.parameters())
        taps = self.kernel_size**2
        return F.conv2d(x, weight, bias).unflatten(1, (self.num_heads, taps, taps)).softmax(3)

    def attention_map(self, x: Map) -> Float[Tensor, "b heads h w p q"]:
        """How much, around each position, neighbour p takes from neighbour q; rows sum to 1."""
        return self._weights(x).permute(0, 1, 4, 5, 2, 3)

    def forward(self, x: Map) -> Map:
        weights = self.attention_dropout(self._weights(x))
        mix = self._mix_windows if self.strided else self._mix_displacements
        return self.dropout(self.proj(mix(self.value(x), weights)))

    def _mix_windows(self, v: Map, weights: Tensor) -> Map:
        """Window by window, as the formula has it."""
        k, size = self.kernel_size, v.shape[2:]
        columns = F.unfold(v, k, padding=k // 2, stride=self.stride)
        columns = columns.unflatten(1, (self.num_heads, -1, k * k)).permute(0, 1, 4, 3, 2)
        mixed = weights.flatten(-2).permute(0, 1, 4, 2, 3) @ columns  # (B, heads, windows, k², d)
        mixed = mixed.permute(0, 1, 4, 3, 2).flatten(1, 3)
        return F.fold(mixed, size, k, padding=k // 2, stride=self.stride)

    def _mix_displacements(self, v: Map, weights: Tensor) -> Map:
        """Windows around every position meet the same pair of positions again and again: their
        weights are summed first, and the values are read once. On a CPU four times as fast."""
        weights = _Displacements.apply(weights, self.kernel_size)  # pyright: ignore
        heads = v.unflatten(1, (self.num_heads, -1))
        y = weigh_neighbours(heads, weights.unsqueeze(2), 2 * self.kernel_size - 1)  # pyright: ignore
        return y.flatten(1, 2)


class _Displacements(torch.autograd.Function):
    """All windows' weights (B, heads, p, q, H, W) for the pair of a position and the one that lies
    at a displacement q − p from it, summed: (B, heads, (2k − 1)², H, W)."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, k: int) -> Tensor:
        ctx.k = k
        height, width = weights.shape[-2:]
        padded = F.pad(weights.unflatten(3, (k, k)), (k // 2,) * 4)
        summed = weights.new_zeros(*weights.shape[:2], 2 * k - 1, 2 * k - 1, height, width)
        for p in range(k * k):
            i, j = divmod(p, k)
            # The window whose neighbour p this position is lies p back.
            window = padded[:, :, p, ..., k - 1 - i :, k - 1 - j :][..., :height, :width]
            summed[:, :, k - 1 - i :, k - 1 - j :][:, :, :k, :k] += window
        return summed.flatten(2, 3)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore
        k, (height, width) = ctx.k, gradient.shape[-2:]
        padded = F.pad(gradient.unflatten(2, (2 * k - 1, 2 * k - 1)), (k // 2,) * 4)
        windows = []
        for p in range(k * k):
            i, j = divmod(p, k)
            window = padded[:, :, k - 1 - i :, k - 1 - j :, i : i + height, j : j + width]
            windows.append(window[:, :, :k, :k].flatten(2, 3))
        return torch.stack(windows, dim=2), None
