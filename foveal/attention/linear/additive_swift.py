"""Efficient additive attention (SwiftFormer)."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Tokens
from foveal.ops.width import hidden_width


@register_attention(
    "additive_swift", paper="Shaker et al., SwiftFormer, ICCV 2023", arxiv="2303.15446"
)
class AdditiveSwift(nn.Module):
    r"""Multiply every token's key by one global query, and add the token's own query.

    $$y_i = \big((g \odot \hat k_i)\,W_P + \hat q_i\big) W_O, \quad
    g = \textstyle\sum_j \alpha_j\,\hat q_j, \quad
    \alpha = \frac{\hat q\,w}{\lVert \hat q\,w \rVert}, \quad
    \hat q = \frac{x W_Q}{\lVert x W_Q \rVert}, \quad \hat k = \frac{x W_K}{\lVert x W_K \rVert}$$

    The weights have length 1 over the tokens rather than a sum of 1, and may be negative: no
    softmax is left, and no values. MobileViTv2's separable attention has both.

    Placed: in the block that ends each stage of SwiftFormer, between a local convolution and the
    perceptron.

    Shape: (B, N, C) → (B, N, C).
    Parameters: 2·(C + 1)·hidden + hidden + (hidden + 1)·hidden + (hidden + 1)·C.
    Multiply-adds: N·(3·C·hidden + hidden² + 10·hidden + 3).

    Args:
        channels: channels C of the tokens.
        hidden: width of queries and keys. Default: C, as in all published models.

    Raises:
        FovealError: if `hidden` is below 1.

    Departs: The factor 1/√d on the scores, which their normalisation cancels, is left out.
    """

    def __init__(self, channels: int, hidden: int | None = None):
        super().__init__()
        self.hidden = hidden_width(channels, 1, hidden=hidden)
        self.query = nn.Linear(channels, self.hidden)
        self.key = nn.Linear(channels, self.hidden)
        self.score = nn.Linear(self.hidden, 1, bias=False)
        self.mix = nn.Linear(self.hidden, self.hidden)
        self.proj = nn.Linear(self.hidden, channels)

    def _weights(self, queries: Tensor) -> Float[Tensor, "b 1 n"]:
        return F.normalize(self.score(queries).mT, dim=-1)

    def attention_map(self, x: Tokens) -> Float[Tensor, "b 1 n"]:
        """How much each token gives to the global query, in [-1, 1]; the squares sum to 1."""
        return self._weights(F.normalize(self.query(x), dim=-1))

    def forward(self, x: Tokens) -> Tokens:
        queries = F.normalize(self.query(x), dim=-1)
        keys = F.normalize(self.key(x), dim=-1)
        global_query = self._weights(queries) @ queries  # (B, 1, hidden)
        return self.proj(self.mix(global_query * keys) + queries)
