"""Performer attention."""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Tokens
from foveal.ops.feature_maps import feature_map, linear_attend, linear_weights
from foveal.ops.heads import heads_for, merge_heads, split_heads


def orthogonal_features(number: int, width: int) -> Tensor:
    """Random directions in blocks that are orthogonal among themselves, each as long as a vector
    of normal random numbers would be (section 3.2 of the paper)."""
    blocks = -(-number // width)
    q, r = torch.linalg.qr(torch.randn(blocks, width, width))
    # Without the signs of R's diagonal some directions are likelier than others, and the estimate
    # does not become the softmax however many features there are.
    directions = (q * r.diagonal(dim1=1, dim2=2).sign()[:, None]).mT.flatten(0, 1)
    lengths = torch.randn(number, width).square().sum(1, keepdim=True).sqrt()
    return lengths * directions[:number]


@register_attention("performer", paper="Choromanski et al., Rethinking Attention with Performers, "
                    "ICLR 2021", arxiv="2009.14794")  # fmt: skip
class Performer(nn.Module):
    r"""Estimate softmax attention without bias by random features that are always positive.

    $$\exp\big(q^\top k\big) \approx \phi(q)^\top \phi(k), \quad
    \phi(x) = \frac{1}{\sqrt{m}} \exp\Big(W x - \frac{\lVert x \rVert^2}{2}\Big)$$

    W holds m random directions, drawn once, orthogonal in blocks, and saved with the weights;
    q and k are divided by $D^{1/4}$ first. `redraw()` draws others, as the paper does now and then
    in training. Other linear attention replaces the softmax; this approaches it as m grows.

    Placed: in place of softmax attention in every layer of a transformer.

    Shape: (B, N, C) → (B, N, C).
    Parameters: C·3·inner + qkv_bias·3·inner + inner·C + proj_bias·C.
    Multiply-adds: 4·N·C·inner + N·inner·(4·num_features + 7)
    + N·num_heads·(11·num_features + 2).

    Args:
        channels: channels C of the tokens.
        num_heads: heads. Default: 8, or the most below that divide the channels into four or more
            each.
        head_channels: width D of a head. Default: C / num_heads.
        num_features: m, directions in W. Default: D · ln D, the paper's order.
        feature: `"softmax"` for φ above; or the name of one of `foveal.ops.feature_maps`, which is
            then applied to W x (the paper's generalised attention, with `"relu"`).
        qkv_bias: give queries, keys and values a bias.
        proj_bias: give the last layer a bias.
        eps: added to the exponentials, which keeps sums away from zero. With another `feature` the
            published code adds 1e-3.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if `num_heads` does not divide the channels and no width is given, a number is
            not positive, or the feature map is unknown.

    Departs: `eps` and the greatest exponential, which the published code has and the paper's
    equations do not, keep the numbers finite. No gradient is cut; theirs stops at the greatest.
    """

    projection: Tensor

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        head_channels: int | None = None,
        num_features: int | None = None,
        feature: str = "softmax",
        qkv_bias: bool = False,
        proj_bias: bool = True,
        eps: float = 1e-4,
        dropout: float = 0.0,
    ):
        super().__init__()
        if num_heads is None or head_channels is None:
            num_heads = heads_for(channels, num_heads)
        self.num_heads = num_heads
        self.head_channels = channels // num_heads if head_channels is None else head_channels
        if num_features is None:
            num_features = max(1, int(self.head_channels * log(max(1, self.head_channels))))
        if min(num_heads, self.head_channels, num_features) < 1:
            raise FovealError(
                f"num_heads={num_heads}, head_channels={head_channels} and "
                f"num_features={num_features} must be positive"
            )
        self.num_features, self.inner, self.eps = num_features, num_heads * self.head_channels, eps
        self.feature = None if feature == "softmax" else feature_map(feature)
        self.qkv_bias, self.proj_bias = qkv_bias, proj_bias
        self.qkv = nn.Linear(channels, 3 * self.inner, bias=qkv_bias)
        self.proj = nn.Linear(self.inner, channels, bias=proj_bias)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("projection", orthogonal_features(num_features, self.head_channels))

    @torch.no_grad()
    def redraw(self) -> None:
        """Draw other random directions."""
        self.projection.copy_(orthogonal_features(self.num_features, self.head_channels))

    def _random_features(self, x: Tensor, over: tuple[int, ...]) -> Tensor:
        """φ(x), divided by its greatest exponential over the axes `over`, which cancels in the
        weights. In float32 at the least."""
        x = x.to(torch.promote_types(x.dtype, torch.float32)) * self.head_channels**-0.25
        scores = (x @ self.projection.to(x.dtype).T).to(x.dtype)
        if self.feature is not None:
            return self.feature(scores) + self.eps
        half_squares = x.square().sum(-1, keepdim=True) / 2
        exponentials = (scores - half_squares - self._greatest(scores, over)).exp()
        return (exponentials + self.eps) * self.num_features**-0.5

    def _greatest(self, scores: Tensor, over: tuple[int, ...]) -> Tensor:
        return scores.amax(over, keepdim=True)

    def _features(self, x: Tokens) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (split_heads(part, self.num_heads) for part in self.qkv(x).chunk(3, dim=-1))
        return self._random_features(q, (-1,)), self._random_features(k, (-2, -1)), v

    def attention_map(self, x: Tokens) -> Float[Tensor, "b heads n n"]:
        """How much each token takes from each, per head; rows sum to 1. Forms N × N."""
        q, k, _ = self._features(x)
        return linear_weights(q, k, eps=0.0).to(x.dtype)

    def forward(self, x: Tokens) -> Tokens:
        heads = linear_attend(*self._features(x), eps=0.0)
        return self.dropout(self.proj(merge_heads(heads)))
