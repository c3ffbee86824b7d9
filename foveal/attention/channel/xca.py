"""Cross-covariance attention."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Tokens
from foveal.ops.cross_covariance import cross_covariance_weights
from foveal.ops.heads import heads_for


@register_attention("xca", paper="El-Nouby et al., XCiT, NeurIPS 2021", arxiv="2106.09681")
class XCA(nn.Module):
    r"""Let channels attend to channels, by how alike their queries and keys run over all tokens.

    $$y = \mathrm{concat}_h\Big(V_h\,\mathrm{softmax}\big(\tau_h \hat Q_h^\top \hat K_h\big)^\top
    \Big) W_O, \quad \hat Q_h, \hat K_h\ \text{with columns of norm 1}$$

    Self-attention turned on its side: d × d weights for a head of width d, however many tokens
    there are, so that its cost grows in proportion to them. Tokens meet only in these weights,
    whatever their order.

    Placed: in every block of XCiT, before a convolution of neighbouring patches and the perceptron.

    Shape: (B, N, C) → (B, N, C).
    Parameters: 4·C² + C + qkv_bias·3·C + num_heads.
    Multiply-adds: 4·N·C² + 2·N·C·head_channels + 5·N·C + 3·C·head_channels + C.

    Args:
        channels: channels C of the tokens.
        num_heads: heads, within which channels attend. Default: 8, or fewer that divide the
            channels and leave each at least 4.
        qkv_bias: give queries, keys and values a bias.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if the heads asked for do not divide the channels.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        qkv_bias: bool = False,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.num_heads = heads_for(channels, num_heads)
        self.head_channels, self.qkv_bias = channels // self.num_heads, qkv_bias
        self.qkv = nn.Linear(channels, 3 * channels, qkv_bias)
        self.temperature = nn.Parameter(torch.ones(self.num_heads, 1, 1))
        self.proj = nn.Linear(channels, channels)
        self.attention_dropout, self.dropout = nn.Dropout(attention_dropout), nn.Dropout(dropout)

    def _attend(self, x: Tokens) -> tuple[Tensor, Tensor]:
        """The weights, and the values (B, heads, N, d)."""
        parts = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 4, 1)
        q, k, v = parts.unbind()  # each (B, heads, d, N)
        return cross_covariance_weights(q, k, self.temperature), v.mT

    def attention_map(self, x: Tokens) -> Float[Tensor, "b heads d d"]:
        """How much each channel of a head takes from each; rows sum to 1."""
        return self._attend(x)[0]

    def forward(self, x: Tokens) -> Tokens:
        weights, values = self._attend(x)
        heads = values @ self.attention_dropout(weights).mT
        return self.dropout(self.proj(heads.transpose(1, 2).flatten(2)))
