"""Attention at two frequencies."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import heads_for, merge_heads, split_heads
from foveal.ops.window import is_open, padded_size, pair
from foveal.ops.window_attend import attend_windows, from_windows, to_windows, window_weights


@register_attention("hilo", paper="Pan et al., Fast Vision Transformers with HiLo Attention, "
                    "NeurIPS 2022", arxiv="2205.13213")  # fmt: skip
class HiLo(nn.Module):
    r"""Give some heads the detail in small windows, and the others the means of those windows.

    $$y = [\mathrm{attn}_{\text{window}}(x)\,W_h,\
    \mathrm{softmax}\big(q \bar k^\top / \sqrt{d}\big)\,\bar v\,W_l], \qquad
    \bar k, \bar v \text{ of the mean of each window}$$

    High frequencies are local, so their heads look inside windows of s × s alone; low frequencies
    outlive a mean, so theirs look at the whole map through N/s² means, four times fewer keys for
    windows of two.

    Placed: in the blocks of LITv2's last two stages, before the perceptron.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 3·C² + 3·qkv_bias·C + high² + low² + C.
    Multiply-adds: N·low·(C + low) + min(low, 1)·whole·C·ceil(H / side)·ceil(W / side)
    + ceil(H / side)·ceil(W / side)·(2·C·low + 2·N·low)
    + ceil(H / side)·ceil(W / side)·whole·high·(3·C + high + 2·whole).

    Args:
        channels: channels C of the feature map.
        num_heads: heads of both kinds. Default: the paper's 8, or fewer where a head would have
            less than four channels.
        window_size: s, height and width of a window.
        alpha: the share of the heads that see the means, rounded down.
        qkv_bias: give queries, keys and values a bias.

    Raises:
        FovealError: if the heads do not divide the channels, the window is no size, or the share
            not between 0 and 1.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        window_size: int = 2,
        alpha: float = 0.5,
        qkv_bias: bool = False,
    ):
        super().__init__()
        if not 0 <= alpha <= 1:
            raise FovealError(f"alpha={alpha} must lie between 0 and 1")
        heads = heads_for(channels, num_heads)
        self.window, self.qkv_bias = pair(window_size), qkv_bias
        self.side, self.whole = window_size, window_size**2
        self.low_heads = int(heads * alpha)
        self.high_heads = heads - self.low_heads
        self.low = self.low_heads * (channels // heads)
        self.high = channels - self.low
        if self.low:
            self.low_query = nn.Linear(channels, self.low, bias=qkv_bias)
            self.low_key_value = nn.Linear(channels, 2 * self.low, bias=qkv_bias)
            self.low_proj = nn.Linear(self.low, self.low)
        if self.high:
            self.high_qkv = nn.Linear(channels, 3 * self.high, bias=qkv_bias)
            self.high_proj = nn.Linear(self.high, self.high)

    def _low(self, x: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Queries of every position, keys and values of every window's mean."""
        means, mask = self._means(x, tokens)
        q = self.low_query(x.flatten(2).mT)
        k, v = self.low_key_value(means).chunk(2, dim=-1)
        q, k, v = (split_heads(t, self.low_heads) for t in (q, k, v))
        return q, k, v, mask

    def _means(self, x: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """The mean of each window over the positions on the map, and a mask of empty windows."""
        height, width = x.shape[2:]
        free = is_open(height) or is_open(width)
        if not free and not height % self.side and not width % self.side:
            return tokens.mean(2), None
        rows, columns = (
            (torch.arange(padded_size(size, self.side), device=x.device) < size)
            .view(-1, self.side)
            .sum(1)
            for size in (height, width)
        )
        count = (rows[:, None] * columns).flatten()[:, None]
        means = tokens.sum(2) / count.clamp(min=1).to(x.dtype)
        mask = torch.where(count.mT > 0, x.new_zeros(()), float("-inf"))
        return means, mask if free else None

    def attention_map(self, x: Map, high: bool = False) -> Float[Tensor, "..."]:
        """How much each position takes from each window's mean, (B, heads, N, windows); or with
        `high`, and where no head sees means, how much each position of a window takes from each of
        them, (B, windows, heads, positions, positions). Rows sum to 1."""
        tokens, mask = to_windows(x, self.window)
        if high or not self.low:
            q, k, _ = self.high_qkv(tokens).chunk(3, dim=-1)
            return window_weights(q, k, self.high_heads, mask=mask)
        q, k, _, bias = self._low(x, tokens)
        return attention_weights(q, k, bias=bias)

    def forward(self, x: Map) -> Map:
        height, width = x.shape[2:]
        tokens, mask = to_windows(x, self.window)
        parts = []
        if self.high:
            q, k, v = self.high_qkv(tokens).chunk(3, dim=-1)
            y = self.high_proj(attend_windows(q, k, v, self.high_heads, mask=mask))
            parts.append(from_windows(y, self.window, height, width))
        if self.low:
            q, k, v, bias = self._low(x, tokens)
            y = self.low_proj(merge_heads(attend(q, k, v, bias=bias)))
            parts.append(y.mT.unflatten(2, (height, width)))
        return torch.cat(parts, dim=1)
