"""Unit force operated attention."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Tokens
from foveal.ops.heads import heads_for, merge_heads, split_heads


@register_attention("ufo", paper="Song, UFO-ViT, arXiv 2021", arxiv="2109.14382")
class UFO(nn.Module):
    r"""Sum keys with values and let queries read the sum, both scaled to unit length.

    $$y = \mathrm{XNorm}(Q)\,\mathrm{XNorm}(K^\top V), \quad
    \mathrm{XNorm}(a) = \gamma\, \frac{a}{\lVert a \rVert_2}$$

    Where linear attention divides by a sum of positive weights, here lengths are divided by, along
    the last axis; so the weights may be negative, need no feature map and do not sum to 1. One γ
    for each head scales both factors.

    Placed: in every block of UFO-ViT, before the perceptron.

    Shape: (B, N, C) → (B, N, C).
    Parameters: C·inner + qkv_bias·inner + value_width·C + proj_bias·C + num_heads.
    Multiply-adds: N·C·(inner + value_width) + N·key_width·(2·value_channels + 4)
    + 4·key_width·value_channels + N·num_heads.

    Args:
        channels: channels C of the tokens.
        num_heads: heads, each with a γ. Default: 8, or the most below that divide the channels
            into four or more each.
        head_channels: width of a head's queries and keys. Default: C / num_heads.
        value_channels: width of a head's values. Default: `head_channels`.
        qkv_bias: give queries, keys and values a bias.
        proj_bias: give the last layer a bias.
        eps: the least length that is divided by, so that zeros stay zeros.

    Raises:
        FovealError: if `num_heads` does not divide the channels and no width is given.

    Departs: Lengths below `eps` are taken as `eps`; and keys are divided by their number first,
    which the norm takes out again, so that half precision does not overflow. γ is born 1.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        head_channels: int | None = None,
        value_channels: int | None = None,
        qkv_bias: bool = True,
        proj_bias: bool = True,
        eps: float = 1e-6,
    ):
        super().__init__()
        if num_heads is None or head_channels is None:
            num_heads = heads_for(channels, num_heads)
        head_channels = channels // num_heads if head_channels is None else head_channels
        self.value_channels = head_channels if value_channels is None else value_channels
        if min(num_heads, head_channels, self.value_channels) < 1:
            raise FovealError(
                f"num_heads={num_heads}, head_channels={head_channels} and "
                f"value_channels={value_channels} must be positive"
            )
        self.num_heads, self.eps = num_heads, eps
        self.qkv_bias, self.proj_bias = qkv_bias, proj_bias
        self.key_width, self.value_width = (
            num_heads * head_channels,
            num_heads * self.value_channels,
        )
        self.widths = [self.key_width, self.key_width, self.value_width]
        self.inner = sum(self.widths)
        self.qkv = nn.Linear(channels, self.inner, bias=qkv_bias)
        self.gamma = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.proj = nn.Linear(self.value_width, channels, bias=proj_bias)

    def _project(self, x: Tensor, key: Tensor | None, value: Tensor | None) -> list[Tensor]:
        if key is None and value is None:
            parts = self.qkv(x).split(self.widths, dim=-1)
        else:
            key = x if key is None else key
            weights = self.qkv.weight.split(self.widths)
            biases = self.qkv.bias.split(self.widths) if self.qkv_bias else (None,) * 3
            tokens = (x, key, key if value is None else value)
            parts = map(nn.functional.linear, tokens, weights, biases)
        return [split_heads(part, self.num_heads) for part in parts]

    def _factor(self, a: Tensor) -> Tensor:
        """γ over the length: what XNorm multiplies by."""
        length = torch.linalg.vector_norm(a, dim=-1, keepdim=True)
        return self.gamma / length.clamp_min(self.eps)

    def _queries_and_summary(self, q: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
        """Queries of unit length, keys over their number, and the summary of keys and values with
        its factor; in float32 at the least."""
        wide = torch.promote_types(q.dtype, torch.float32)
        q, k = q.to(wide), k.to(wide) / k.shape[2]
        summary = (k.mT @ v.to(wide)).to(wide)
        return [self._factor(q) * q, k, summary, self._factor(summary)]

    def attention_map(
        self, x: Tokens, key: Tokens | None = None, value: Tokens | None = None
    ) -> Float[Tensor, "b heads n m"]:
        """What each token takes from each, per head; in (-∞, ∞), for lengths are divided by and
        not sums. Forms N × N."""
        q, k, _, factor = self._queries_and_summary(*self._project(x, key, value))
        return ((q * factor.mT) @ k.mT).to(x.dtype)

    def forward(self, x: Tokens, key: Tokens | None = None, value: Tokens | None = None) -> Tokens:
        """Attend from x to itself, or to other tokens with `key` and `value`."""
        q, _, summary, factor = self._queries_and_summary(*self._project(x, key, value))
        return self.proj(merge_heads(q @ (factor * summary)).to(self.proj.weight.dtype))
