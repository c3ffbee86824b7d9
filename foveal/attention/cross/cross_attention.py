"""Cross-attention."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Tokens
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import heads_for, merge_heads, split_heads

Present = Bool[Tensor, "b m"]
"""Which of the other tokens are there."""


@register_attention("cross_attention", paper="Vaswani et al., Attention Is All You Need, "
                    "NeurIPS 2017", arxiv="1706.03762")  # fmt: skip
class CrossAttention(nn.Module):
    r"""Let each token take from a second set of tokens, of another number and width.

    $$y = \mathrm{concat}_h\Big(\mathrm{softmax}\big(Q_h K_h^\top / \sqrt{d}\big) V_h\Big) W_O,
    \quad Q_h = x W_{Q_h}, \; K_h, V_h = c\, W_{K_h}, c\, W_{V_h}$$

    The encoder–decoder attention of the Transformer: self-attention whose keys and values come from
    a context c. `foveal.OnTwoMaps` lets it stand between two feature maps.

    Placed: in each layer of a decoder, between self-attention and the perceptron.

    Shape: (B, N, C) and (B, M, context_channels) → (B, N, C).
    Parameters: (2·C + 2·context_channels)·inner + qkv_bias·3·inner + proj_bias·C.
    Multiply-adds: 2·N·C·inner + 2·M·context_channels·inner + 2·N·M·inner.

    Args:
        channels: channels C of the tokens that ask.
        context_channels: channels of the tokens that are asked. Default: C.
        num_heads: heads. Default: 8, or the most below that divide the channels into four or more
            each.
        head_channels: width of a head. Default: C / num_heads.
        qkv_bias: give queries, keys and values a bias. The keys' share of it has no effect, for
            the softmax cancels it.
        proj_bias: give the last layer a bias.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if `num_heads` does not divide the channels and no width is given, or a width
            is not positive.
    """

    def __init__(
        self,
        channels: int,
        context_channels: int | None = None,
        num_heads: int | None = None,
        head_channels: int | None = None,
        qkv_bias: bool = False,
        proj_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        if num_heads is None or head_channels is None:
            num_heads = heads_for(channels, num_heads)
        width = channels // num_heads if head_channels is None else head_channels
        self.context_channels = channels if context_channels is None else context_channels
        if min(self.context_channels, num_heads, width) < 1:
            raise FovealError(
                f"context_channels={context_channels}, num_heads={num_heads} and "
                f"head_channels={head_channels} must be positive"
            )
        self.num_heads, self.inner = num_heads, num_heads * width
        self.qkv_bias, self.proj_bias = qkv_bias, proj_bias
        self.attention_dropout = attention_dropout
        self.query = nn.Linear(channels, self.inner, bias=qkv_bias)
        self.key_value = nn.Linear(self.context_channels, 2 * self.inner, bias=qkv_bias)
        self.proj = nn.Linear(self.inner, channels, bias=proj_bias)
        self.dropout = nn.Dropout(dropout)

    def _project(self, x: Tensor, context: Tensor, mask: Tensor | None) -> list[Tensor | None]:
        """Queries, keys and values, head by head; and what is added to the scores: −∞ for tokens
        that are not there, unless none is."""
        parts = (self.query(x), *self.key_value(context).chunk(2, dim=-1))
        bias = None
        if mask is not None:
            absent = ~mask & mask.any(-1, keepdim=True)
            bias = parts[0].new_zeros(mask.shape).masked_fill(absent, float("-inf"))
            bias = bias[:, None, None]  # the same for every head and query
        return [*(split_heads(part, self.num_heads) for part in parts), bias]

    def attention_map(
        self, x: Tokens, context: Tokens, mask: Present | None = None
    ) -> Float[Tensor, "b heads n m"]:
        """How much each token takes from each of the context, per head; rows sum to 1."""
        q, k, _, bias = self._project(x, context, mask)
        return attention_weights(q, k, bias=bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tokens, context: Tokens, mask: Present | None = None) -> Tokens:
        """Ask the context; where `mask` is False its tokens are not there. A picture without any
        gets nothing but the last layer's bias."""
        q, k, v, bias = self._project(x, context, mask)
        drop = self.attention_dropout if self.training else 0.0
        y = merge_heads(attend(q, k, v, bias=bias, dropout=drop))  # pyright: ignore
        if mask is not None:
            y = y * mask.any(-1)[:, None, None]
        return self.dropout(self.proj(y))
