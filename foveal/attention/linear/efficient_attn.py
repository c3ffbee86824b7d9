"""Efficient attention."""

from math import gcd

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.heads import heads_for
from foveal.ops.width import hidden_width


@register_attention("efficient_attn", paper="Shen et al., Efficient Attention, WACV 2021",
                    arxiv="1812.01243")  # fmt: skip
class EfficientAttention(nn.Module):
    r"""Normalise keys over positions and queries over channels, so that no pair need be formed.

    $$y = x + W_o\,\mathrm{concat}_h\Big(\big(\mathrm{softmax}_{hw}(K_h)\,V_h^\top\big)^\top
    \mathrm{softmax}_d(Q_h)\Big)$$

    Each channel of the keys is one attention map over the whole image, and a query is a mix of
    them. The product of both softmaxes has rows that sum to 1, like dot-product attention's, but is
    not the same. A head of one key channel would have the same query everywhere.

    Placed: after stages of a detector's backbone, and on the maps of its feature pyramid.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 2·C·key_channels + key_channels + 2·C·value_channels + value_channels + C.
    Multiply-adds: N·(2·C·key_channels + 2·C·value_channels + 4·key_channels + C
    + 2·key_channels·value_channels/num_heads).

    Args:
        channels: channels C of the feature map.
        key_channels: width of queries and keys, all heads together. Default: C/2, at least 4; the
            authors give none.
        value_channels: width of the values, all heads together. Default: `key_channels`.
        num_heads: heads. Default: 8, or the most below it that leave four channels or more to each.

    Raises:
        FovealError: if the heads do not divide both widths, or a width is below 1.

    Departs: The keys have no bias, which the softmax would cancel; the authors' code keeps one.
    """

    def __init__(
        self,
        channels: int,
        key_channels: int | None = None,
        value_channels: int | None = None,
        num_heads: int | None = None,
    ):
        super().__init__()
        keys = hidden_width(channels, 2, least=4, hidden=key_channels)
        values = hidden_width(keys, 1, hidden=value_channels)
        if num_heads is None:
            num_heads = heads_for(gcd(keys, values), None)
        elif num_heads < 1 or keys % num_heads or values % num_heads:
            raise FovealError(
                f"num_heads={num_heads} must divide key_channels={keys} and value_channels={values}"
            )
        self.key_channels, self.value_channels, self.num_heads = keys, values, num_heads
        self.key = nn.Conv2d(channels, keys, 1, bias=False)
        self.query_value = nn.Conv2d(channels, keys + values, 1)
        self.proj = nn.Conv2d(values, channels, 1)

    def _heads(self, x: Map) -> Float[Tensor, "b heads d n"]:
        return x.flatten(2).unflatten(1, (self.num_heads, -1))

    def attention_map(self, x: Map) -> Float[Tensor, "b heads d n"]:
        """How much each channel of the keys takes from each position; rows sum to 1."""
        return self._heads(self.key(x)).softmax(-1)

    def forward(self, x: Map) -> Map:
        widths = self.key_channels, self.value_channels
        queries, values = self.query_value(x).split(widths, 1)
        context = self._heads(values) @ self.attention_map(x).mT  # (B, heads, value, key)
        attended = context @ self._heads(queries).softmax(2)
        return x + self.proj(attended.flatten(1, 2).unflatten(2, x.shape[2:]))
