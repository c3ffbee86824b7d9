"""Self-attention without projections."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Tokens
from foveal.ops.attend import attend, attention_weights, bounded_queries
from foveal.ops.heads import heads_for, merge_heads, split_heads


@register_attention(
    "simplified_sa",
    paper="no paper; Vaswani et al., NeurIPS 2017, less three of its four layers",
)
class SimplifiedSA(nn.Module):
    r"""Let each token take from the tokens most like itself, its own channels being query and key.

    $$y = \mathrm{concat}_h\Big(\mathrm{softmax}\big(x_h x_h^\top / \sqrt{d}\big) x_h\Big) W_O$$

    Multi-head self-attention without its layers for queries, keys and values: a quarter of its
    parameters, and scores that are symmetric before the softmax. No paper proposes it; it is known
    from a collection of attention modules, and is of use as a control: what do the projections buy?

    Shape: (B, N, C) → (B, N, C). Parameters: C² + proj_bias·C.
    Multiply-adds: N·C² + 2·N²·C + N·C.

    Args:
        channels: channels C of the tokens.
        num_heads: heads, each a share of the channels. Default: 8, or the largest number below
            that divides the channels.
        proj_bias: give the last layer a bias.
        attention_dropout: probability of dropping a weight in training.

    Raises:
        FovealError: if the heads do not divide the channels.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        proj_bias: bool = True,
        attention_dropout: float = 0.0,
    ):
        super().__init__()
        self.num_heads = heads_for(channels, num_heads)
        self.proj_bias, self.attention_dropout = proj_bias, attention_dropout
        self.proj = nn.Linear(channels, channels, bias=proj_bias)

    def _split(self, query: Tokens, key: Tokens) -> tuple[Tensor, Tensor]:
        q, k = split_heads(query, self.num_heads), split_heads(key, self.num_heads)
        return bounded_queries(q, k), k  # nothing scales the scores down before they are squares

    def attention_map(self, x: Tokens, key: Tokens | None = None) -> Float[Tensor, "b heads n m"]:
        """How much each token takes from each, per head; rows sum to 1. Forms N × N."""
        return attention_weights(*self._split(x, x if key is None else key))

    def forward(self, x: Tokens, key: Tokens | None = None, value: Tokens | None = None) -> Tokens:
        """Attend from x to itself, or to other tokens with `key` and `value`."""
        key = x if key is None else key
        q, k = self._split(x, key)
        v = k if value is None else split_heads(value, self.num_heads)
        dropout = self.attention_dropout if self.training else 0.0
        return self.proj(merge_heads(attend(q, k, v, dropout=dropout)))
