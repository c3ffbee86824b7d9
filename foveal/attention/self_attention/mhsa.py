"""Multi-head self-attention."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Tokens
from foveal.ops.attend import attend, attention_weights


@register_attention("mhsa", paper="Vaswani et al., Attention Is All You Need, NeurIPS 2017",
                    arxiv="1706.03762")  # fmt: skip
class MHSA(nn.Module):
    r"""Let each token take from every token, by how well its query matches their keys.

    $$y = \mathrm{concat}_h\Big(\mathrm{softmax}\big(Q_h K_h^\top / \sqrt{d}\big) V_h\Big) W_O,
    \quad Q_h, K_h, V_h = x W_{Q_h}, x W_{K_h}, x W_{V_h}$$

    Placed: in every layer of a transformer, before the perceptron.

    Shape: (B, N, C) → (B, N, C).
    Parameters: C·inner + qkv_bias·inner + proj_bias·C + value_width·C + qk_norm·3·head_channels.
    Multiply-adds: N·C·(inner + value_width) + 2·N²·num_heads·max(head_channels, value_channels)
    + qk_norm·4·N·(inner − value_width).

    Args:
        channels: channels C of the tokens.
        num_heads: heads, each with queries of its own.
        head_channels: width of a head's queries and keys. Default: C / num_heads.
        value_channels: width of a head's values. Default: `head_channels`.
        qkv_bias: give queries, keys and values a bias. The keys' share of it has no effect, for
            the softmax cancels it.
        proj_bias: give the last layer a bias.
        qk_norm: layer-normalise queries and keys, head by head.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if the channels do not divide into the heads and no width is given.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int = 8,
        head_channels: int | None = None,
        value_channels: int | None = None,
        qkv_bias: bool = False,
        proj_bias: bool = False,
        qk_norm: bool = False,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        if num_heads < 1 or (head_channels is None and channels % num_heads):
            raise FovealError(
                f"channels={channels} do not divide into num_heads={num_heads}; choose a number of "
                "heads that divides them, or give head_channels"
            )
        self.num_heads = num_heads
        self.head_channels = channels // num_heads if head_channels is None else head_channels
        self.value_channels = self.head_channels if value_channels is None else value_channels
        if min(self.head_channels, self.value_channels) < 1:
            raise FovealError(
                f"head_channels={head_channels}, value_channels={value_channels} must be positive"
            )
        self.value_width = num_heads * self.value_channels
        self.widths = [num_heads * self.head_channels] * 2 + [self.value_width]
        self.inner = sum(self.widths)
        self.qkv_bias, self.proj_bias, self.qk_norm = qkv_bias, proj_bias, qk_norm
        self.attention_dropout = attention_dropout
        self.qkv = nn.Linear(channels, self.inner, bias=qkv_bias)
        self.query_norm: nn.Module = nn.Identity()
        self.key_norm: nn.Module = nn.Identity()
        if qk_norm:  # a bias of the keys would be cancelled by the softmax
            self.query_norm = nn.LayerNorm(self.head_channels)
            self.key_norm = nn.LayerNorm(self.head_channels, bias=False)
        self.proj = nn.Linear(self.value_width, channels, bias=proj_bias)
        self.dropout = nn.Dropout(dropout)

    def _project(self, x: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, head by head: (B, heads, N, width)."""
        if key is x and value is x:
            parts = self.qkv(x).split(self.widths, dim=-1)  # one pass over x for all three
        else:
            weights = self.qkv.weight.split(self.widths)
            biases = self.qkv.bias.split(self.widths) if self.qkv_bias else (None,) * 3
            parts = map(F.linear, (x, key, value), weights, biases)
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in parts)
        return self.query_norm(q), self.key_norm(k), v

    def attention_map(self, x: Tokens, key: Tokens | None = None) -> Float[Tensor, "b heads n m"]:
        """How much each token takes from each, per head; rows sum to 1. Forms N × N."""
        key = x if key is None else key
        q, k, _ = self._project(x, key, key)
        return attention_weights(q, k)

    def forward(self, x: Tokens, key: Tokens | None = None, value: Tokens | None = None) -> Tokens:
        """Attend from x to itself, or to other tokens with `key` and `value`."""
        key = x if key is None else key
        qkv = self._project(x, key, key if value is None else value)
        heads = attend(*qkv, dropout=self.attention_dropout if self.training else 0.0)
        del qkv  # before the projection takes memory of its own
        return self.dropout(self._merge(heads.transpose(1, 2).flatten(2), x))

    def _merge(self, heads: Tensor, x: Tensor) -> Tensor:
        return self.proj(heads)
