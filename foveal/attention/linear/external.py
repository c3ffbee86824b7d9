"""External attention."""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Tokens


@register_attention("external", paper="Guo et al., Beyond Self-attention, TPAMI 2023",
                    arxiv="2105.02358")  # fmt: skip
class ExternalAttention(nn.Module):
    r"""Let tokens attend to a small learned memory that all images share.

    $$y = A M_v, \qquad A_{nj} = \alpha_{nj} \Big/ \textstyle\sum_j \alpha_{nj}, \qquad
    \alpha = \mathrm{softmax}_n(x M_k^\top)$$

    The memory has S rows whatever the number of tokens, so the cost is linear in N. The double
    normalisation, first over tokens and then over the memory, keeps one long token from drawing
    every weight.

    Placed: once, at the end of the backbone of a segmentation network.

    Shape: (B, N, C) → (B, N, C).
    Parameters: 2·head_channels·num_tokens + multi_head·(2·C·inner + C + head_channels).
    Multiply-adds: N·heads·num_tokens·(2·head_channels + 4) + multi_head·2·N·C·inner.

    Args:
        channels: channels C of the tokens.
        num_tokens: S, rows of the memory.
        num_heads: heads that share the memory, between two projections (eq. 8 and 9). Default:
            none of these, the plain layer of eq. 5 and 6.
        expansion: by which the heads together are wider than C; only with `num_heads`, which it
            multiplies too.
        eps: added to the sum that the second normalisation divides by.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if the channels do not divide into the heads, or a number is not positive.

    Departs: The authors' code adds 1e-9 to the sum (`eps=1e-9`), puts the plain layer between two
    convolutions with a residual, and keeps biases that the softmax over tokens cancels.
    """

    def __init__(
        self,
        channels: int,
        num_tokens: int = 64,
        num_heads: int | None = None,
        expansion: int = 4,
        eps: float = 0.0,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        if num_tokens < 1 or expansion < 1:
            raise FovealError(f"num_tokens={num_tokens}, expansion={expansion} must be positive")
        if num_heads is not None and (num_heads < 1 or channels % num_heads):
            raise FovealError(f"channels={channels} do not divide into num_heads={num_heads}")
        self.multi_head = num_heads is not None
        self.num_tokens, self.eps = num_tokens, eps
        self.heads = num_heads * expansion if num_heads else 1
        self.inner = channels * expansion if num_heads else channels
        self.head_channels = self.inner // self.heads
        self.expand = nn.Linear(channels, self.inner, bias=False) if num_heads else None
        self.keys = nn.Linear(self.head_channels, num_tokens, bias=False)
        self.values = nn.Linear(num_tokens, self.head_channels, bias=self.multi_head)
        self.proj = nn.Linear(self.inner, channels) if num_heads else None
        self.attention_dropout = nn.Dropout(attention_dropout)
        self.dropout = nn.Dropout(dropout)

    def attention_map(self, x: Tokens) -> Float[Tensor, "b heads n s"]:
        """How much each token takes from each row of the memory; rows sum to 1."""
        return self._weights(x)

    def _weights(self, x: Tensor) -> Tensor:
        wide = x if self.expand is None else self.expand(x)
        scores = self.keys(wide.unflatten(-1, (self.heads, -1))).transpose(1, 2)
        # In logarithms the second normalisation is a softmax, and cannot divide by an underflow.
        shares = scores.log_softmax(2)
        if not self.eps:
            return shares.softmax(-1)
        total = shares.logsumexp(-1, keepdim=True)
        return (shares - torch.logaddexp(total, total.new_full((), log(self.eps)))).exp()

    def forward(self, x: Tokens) -> Tokens:
        weights = self.attention_dropout(self._weights(x))
        y = self.values(weights).transpose(1, 2).flatten(2)
        return self.dropout(y if self.proj is None else self.proj(y))
