"""Multi-head external attention."""

from foveal.attention.linear.external import ExternalAttention
from foveal.core.registry import register_attention
from foveal.core.types import Tokens
from foveal.ops.heads import heads_for


@register_attention("external_mh", paper="Guo et al., Beyond Self-attention, TPAMI 2023",
                    arxiv="2105.02358")  # fmt: skip
class MultiHeadExternalAttention(ExternalAttention):
    r"""Let the heads of widened tokens all attend to one small learned memory.

    $$y = W_o\,\mathrm{concat}_h(A_h M_v), \qquad A_h = \mathrm{norm}\big((x W_e)_h M_k^\top\big)$$

    with the double normalisation of `ExternalAttention`, which is this without heads and without
    the two projections. The heads share the memory, whose rows are as narrow as a head; they differ
    in what $W_e$, four times as wide as the tokens, lets them see.

    Placed: in place of self-attention in every block of a transformer.

    Shape: (B, N, C) → (B, N, C).
    Parameters: 2·C·inner + C + head_channels·(2·num_tokens + 1).
    Multiply-adds: N·heads·num_tokens·(2·head_channels + 4) + 2·N·C·inner.

    Args:
        channels: channels C of the tokens.
        num_heads: heads before the expansion, which multiplies them. Default: the authors' 8, or
            the most below it that divide the channels into heads of at least four.
        num_tokens: S, rows of the memory.
        expansion: by which the heads together are wider than C.
        eps: added to the sum that the second normalisation divides by.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if the channels do not divide into the heads, or a number is not positive.

    Departs: The authors' code adds 1e-9 to the sum (`eps=1e-9`) and keeps biases that the softmax
    over tokens cancels.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        num_tokens: int = 64,
        expansion: int = 4,
        eps: float = 0.0,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        heads = heads_for(channels, num_heads)
        super().__init__(channels, num_tokens, heads, expansion, eps, attention_dropout, dropout)

    def forward(self, x: Tokens) -> Tokens:
        return super().forward(x)
