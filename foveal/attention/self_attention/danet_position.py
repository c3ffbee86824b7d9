"""The position half of dual attention."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Map, Tokens
from foveal.ops.attend import attend, attention_weights
from foveal.ops.width import hidden_width


def _tokens(x: Map) -> Tokens:
    """Positions as rows, copied into place once for the three layers that read them."""
    return rearrange(x, "b c h w -> b (h w) c").contiguous()


@register_attention("danet_position", paper="Fu et al., DANet, CVPR 2019", arxiv="1809.02983")
class DANetPosition(nn.Module):
    r"""Add to each position what it attends to over all positions.

    $$y = x + \gamma \cdot \mathrm{softmax}(Q K^\top) V, \quad
    Q, K, V = W_q x, W_k x, W_v x$$

    Born an identity, for $\gamma$ starts at 0. The scores are not divided by the root of their
    width.

    Placed: as one of DANet's two branches, at the end of a dilated backbone.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 2·C·hidden + hidden + C² + C + 1.
    Multiply-adds: (2·C·hidden + C² + C)·H·W + 2·C·(H·W)².

    Args:
        channels: channels C of the feature map.
        reduction: by which queries and keys are narrower.
        hidden: width of queries and keys. Default: C / reduction, at least 1.

    Raises:
        FovealError: for a reduction or width below 1.

    Departs: The keys have no bias, which the softmax would cancel; the authors' code keeps one.
    """

    def __init__(self, channels: int, reduction: int = 8, hidden: int | None = None):
        super().__init__()
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.query = nn.Linear(channels, self.hidden)
        self.key = nn.Linear(channels, self.hidden, bias=False)
        self.value = nn.Linear(channels, channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def attention_map(self, x: Map) -> Float[Tensor, "b n n"]:
        """How much each position takes from each; rows sum to 1. Forms N × N."""
        tokens = _tokens(x)
        return attention_weights(self.query(tokens), self.key(tokens), scale=1.0)

    def forward(self, x: Map) -> Map:
        tokens = _tokens(x)
        q, k, v = self.query(tokens), self.key(tokens), self.value(tokens)
        attended = rearrange(attend(q, k, v, scale=1.0), "b (h w) c -> b c h w", h=x.shape[2])
        return torch.addcmul(x, self.gamma, attended)
