"""Nyström attention."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import heads_for, merge_heads, split_heads


def segment_means(positions: int, segments: int, like: Tensor) -> Float[Tensor, "s n"]:
    """A matrix that takes the mean over each of so many segments of equal length.

    A position on a border belongs to both sides by its shares; where there are more segments than
    positions, several are the same. The shares are computed in whole numbers, so they are exact.
    """
    start = torch.arange(positions, device=like.device) * segments
    border = torch.arange(segments, device=like.device)[:, None] * positions
    overlap = torch.minimum(start + segments, border + positions) - torch.maximum(start, border)
    return overlap.clamp_min(0).to(like.dtype) / positions


@register_attention(
    "nystrom", paper="Xiong et al., Nyströmformer, AAAI 2021", arxiv="2102.03902"
)  # fmt: skip
class Nystrom(nn.Module):
    r"""Compare positions through a few landmarks, the means of equal stretches of the raster.

    $$y = \sigma(Q \tilde K^\top)\, \sigma(\tilde Q \tilde K^\top)^{+}\, \sigma(\tilde Q K^\top)\, V
    + \mathrm{conv}(V), \quad \sigma(A) = \mathrm{softmax}(A / \sqrt{D})$$

    The pseudo-inverse between the landmarks makes the product of the thin factors approach the full
    matrix of softmax attention; it is found by a few steps of an iteration of the third order. Both
    stretches and the convolution over neighbouring positions follow the raster, so the input is a
    map.

    Placed: in place of softmax attention in every layer of a transformer.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 3·C·inner + qkv_bias·3·inner + inner·C + proj_bias·C + num_heads·kernel_size.
    Multiply-adds: 4·N·C·inner + N·num_landmarks·(C + 4·inner) + N·inner·(kernel_size + 1)
    + 2·num_landmarks·C·inner + 2·num_landmarks²·inner
    + num_heads·num_landmarks²·(steps·(4·num_landmarks + 4) + 5).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: 8, or the most below that divide the channels into four or more
            each.
        head_channels: width D of a head. Default: C / num_heads.
        num_landmarks: stretches of the raster that queries and keys are averaged over.
        steps: of the iteration for the pseudo-inverse.
        kernel_size: positions that the convolution of the values sees, odd; 0 for none.
        qkv_bias: give queries, keys and values a bias. The keys' share of it has no effect, for
            every softmax cancels it.
        proj_bias: give the last layer a bias.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if `num_heads` does not divide the channels and no width is given, a number is
            not positive, or the kernel is even.

    Departs: The iteration starts from the inverse's bound for each head of each image, where the
    authors' code takes one bound for the whole batch, so that images depended on one another. Any
    number of positions is taken, not only multiples of the landmarks.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        head_channels: int | None = None,
        num_landmarks: int = 64,
        steps: int = 6,
        kernel_size: int = 33,
        qkv_bias: bool = True,
        proj_bias: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        if num_heads is None or head_channels is None:
            num_heads = heads_for(channels, num_heads)
        width = channels // num_heads if head_channels is None else head_channels
        if min(num_heads, width, num_landmarks, steps) < 1:
            raise FovealError(
                f"num_heads={num_heads}, head_channels={width}, num_landmarks={num_landmarks} and "
                f"steps={steps} must be positive"
            )
        if kernel_size < 0 or (kernel_size and kernel_size % 2 == 0):
            raise FovealError(f"kernel_size={kernel_size} must be odd, or 0 for no convolution")
        self.num_heads, self.inner = num_heads, num_heads * width
        self.num_landmarks, self.steps, self.kernel_size = num_landmarks, steps, kernel_size
        self.qkv_bias, self.proj_bias = qkv_bias, proj_bias
        self.qkv = nn.Linear(channels, 3 * self.inner, bias=qkv_bias)
        self.proj = nn.Linear(self.inner, channels, bias=proj_bias)
        self.dropout = nn.Dropout(dropout)
        self.conv = None
        if kernel_size:  # one row of taps for each head, over the positions
            size, padding = (kernel_size, 1), (kernel_size // 2, 0)
            self.conv = nn.Conv2d(
                num_heads, num_heads, size, padding=padding, groups=num_heads, bias=False
            )

    def _project(self, x: Map) -> list[Tensor]:
        """Queries, keys and values, then the landmarks' queries and keys."""
        tokens = rearrange(x, "b c h w -> b (h w) c").contiguous()
        parts = self.qkv(tokens).chunk(3, dim=-1)
        # The mean of the queries is the query of the mean, which is the shorter way.
        means = segment_means(tokens.shape[1], self.num_landmarks, tokens) @ tokens
        share, bias = self.qkv.weight[: 2 * self.inner], self.qkv.bias
        landmarks = nn.functional.linear(means, share, None if bias is None else bias[: len(share)])
        return [split_heads(part, self.num_heads) for part in (*parts, *landmarks.chunk(2, dim=-1))]

    def _between_landmarks(self, q: Tensor, k: Tensor) -> Float[Tensor, "b heads m m"]:
        """The pseudo-inverse of the landmarks' weights, in float32 at the least."""
        wide = torch.promote_types(q.dtype, torch.float32)
        weights = attention_weights(q.to(wide), k.to(wide))
        one = torch.eye(self.num_landmarks, dtype=wide, device=q.device)
        inverse = weights.mT / self._bound(weights)
        for _ in range(self.steps):
            product = weights @ inverse
            inner = 15 * one - product @ (7 * one - product)
            inverse = 0.25 * inverse @ (13 * one - product @ inner)
        return inverse

    def _bound(self, weights: Tensor) -> Tensor:
        return weights.sum(-2, keepdim=True).amax(-1, keepdim=True)

    def attention_map(self, x: Map) -> Float[Tensor, "b heads n n"]:
        """What each position takes from each, per head; in (-∞, ∞), for the pseudo-inverse has
        negative entries. Rows sum to about 1. Forms N × N."""
        q, k, _, some_q, some_k = self._project(x)
        inverse = self._between_landmarks(some_q, some_k)
        return attention_weights(q, some_k) @ inverse.to(q.dtype) @ attention_weights(some_q, k)

    def forward(self, x: Map) -> Map:
        y = merge_heads(self._attend(*self._project(x)))
        return rearrange(self.dropout(self.proj(y)), "b (h w) c -> b c h w", h=x.shape[2])

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, some_q: Tensor, some_k: Tensor) -> Tensor:
        inverse = self._between_landmarks(some_q, some_k)
        read = inverse.to(v.dtype) @ attend(some_q, k, v)
        y = attend(q, some_k, read.to(v.dtype))
        return y if self.conv is None else y + self.conv(v)
