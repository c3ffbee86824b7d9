"""Separable self-attention (MobileViTv2)."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveal.core.registry import register_attention
from foveal.core.types import Tokens
from foveal.ops.activation import activation


@register_attention(
    "mobilevitv2", paper="Mehta & Rastegari, Separable Self-attention, TMLR 2023",
    arxiv="2206.02680",
)  # fmt: skip
class MobileViTv2(nn.Module):
    r"""Scale every token's values by one context vector, attended to from a single learned query.

    $$y = \big(\mathrm{ReLU}(x W_V) \odot c\big) W_O, \quad
    c = \textstyle\sum_j \alpha_j\,x_j W_K, \quad \alpha = \mathrm{softmax}_j(x_j^\top w)$$

    Self-attention computes a context for each token; here one is computed for all, and no products
    of matrices between tokens are left. The keys are projected after their sum, for the weights
    sum to 1. The global context block adds its vector where this multiplies.

    Placed: in place of multi-head attention in the transformers of MobileViT's blocks.

    Shape: (B, N, C) → (B, N, C). Parameters: 3·C² + C + bias·3·C.
    Multiply-adds: N·(2·C² + 3·C + 2) + C².

    Args:
        channels: channels C of the tokens.
        bias: give keys, values and the last layer a bias.
        act: activation of the values, by name.
        attention_dropout: probability of dropping a weight in training.
    """

    def __init__(
        self,
        channels: int,
        bias: bool = True,
        act: str = "relu",
        attention_dropout: float = 0.0,
    ):
        super().__init__()
        self.bias = bias
        self.score = nn.Linear(channels, 1, bias=False)  # the softmax would cancel a bias
        self.key = nn.Linear(channels, channels, bias=bias)
        self.value = nn.Linear(channels, channels, bias=bias)
        self.act = activation(act)
        self.proj = nn.Linear(channels, channels, bias=bias)
        self.dropout = nn.Dropout(attention_dropout)

    def attention_map(self, x: Tokens) -> Float[Tensor, "b 1 n"]:
        """How much each token gives to the context; over all tokens it sums to 1."""
        return self.score(x).mT.softmax(-1)

    def forward(self, x: Tokens, key: Tokens | None = None) -> Tokens:
        """Scale x by its own context, or with `key` by that of other tokens."""
        key = x if key is None else key
        weights = self.dropout(self.attention_map(key))
        context = F.linear(weights @ key, self.key.weight)  # (B, 1, C)
        if self.bias:
            dropped = self.training and self.dropout.p > 0  # then the weights do not sum to 1
            bias = self.key.bias
            context = context + (bias * weights.sum(-1, keepdim=True) if dropped else bias)
        return self.proj(self.act(self.value(x)) * context)
