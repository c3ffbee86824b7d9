"""Linear attention."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Tokens
from foveal.ops.feature_maps import feature_map, linear_attend, linear_weights
from foveal.ops.heads import heads_for, merge_heads, split_heads


@register_attention("linear_elu", paper="Katharopoulos et al., Transformers are RNNs, ICML 2020",
                    arxiv="2006.16236")  # fmt: skip
class LinearELU(nn.Module):
    r"""Weigh tokens by products of positive features, so that keys and values are summed only once.

    $$y_i = \frac{\phi(q_i)^\top \sum_j \phi(k_j) v_j^\top}{\phi(q_i)^\top \sum_j \phi(k_j)},
    \quad \phi(x) = \mathrm{elu}(x) + 1$$

    The two sums over j are the same for every query: where self-attention compares N × N pairs,
    each query here reads a D × D summary of the tokens.

    Placed: in place of softmax attention in every layer of a transformer.

    Shape: (B, N, C) → (B, N, C). Parameters: 4·C² + qkv_bias·3·C + proj_bias·C.
    Multiply-adds: 4·N·C² + N·C·(2·head_channels + 6)
    + (N + 1)·num_heads.

    Args:
        channels: channels C of the tokens.
        num_heads: heads, each with a summary of its own. Default: 8, or the most below that divide
            the channels into four or more each.
        feature: φ by name: `"elu"` is elu(x) + 1; `"relu"` and others of `foveal.ops.feature_maps`.
        eps: added to the sum that the weights are divided by.
        qkv_bias: give queries, keys and values a bias.
        proj_bias: give the last layer a bias.

    Raises:
        FovealError: if `num_heads` does not divide the channels, or the feature map is unknown.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        feature: str = "elu",
        eps: float = 1e-6,
        qkv_bias: bool = True,
        proj_bias: bool = True,
    ):
        super().__init__()
        self.num_heads = heads_for(channels, num_heads)
        self.head_channels = channels // self.num_heads
        self.feature, self.eps = feature_map(feature), eps
        self.qkv_bias, self.proj_bias = qkv_bias, proj_bias
        self.qkv = nn.Linear(channels, 3 * channels, bias=qkv_bias)
        self.proj = nn.Linear(channels, channels, bias=proj_bias)

    def _features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (split_heads(t, self.num_heads) for t in (self.feature(q), self.feature(k), v))
        return q, k, v

    def attention_map(self, x: Tokens) -> Float[Tensor, "b heads n n"]:
        """How much each token takes from each, per head; rows sum to 1. Forms N × N."""
        q, k, _ = self._features(x)
        return linear_weights(q, k, eps=self.eps)

    def forward(self, x: Tokens) -> Tokens:
        q, k, v = self._features(x)
        return self.proj(merge_heads(linear_attend(q, k, v, eps=self.eps)))
