"""Gated channel transformation."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.moments import gate_by_moments, moments


@register_attention(
    "gct_gated", paper="Yang et al., Gated Channel Transformation, CVPR 2020", arxiv="1909.11519"
)
class GCTGated(nn.Module):
    r"""Let channels compete or cooperate by the norms of their maps.

    $$y = x \odot \big(1 + \tanh(\gamma\,\hat s + \beta)\big), \quad
    \hat s_c = \frac{s_c}{\sqrt{\mathrm{mean}_c\,s^2 + \epsilon}}, \quad
    s_c = \alpha_c \sqrt{\textstyle\sum_{hw} x^2 + \epsilon}$$

    Where γ is positive a channel that is strong beside the others is strengthened, and they
    compete; where it is negative the strong are damped. Born an identity, for γ and β start at 0.

    Placed: before every convolution.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 3·C.
    Multiply-adds: (3 − sums)·C·H·W + (9 − 3·sums)·C.

    Args:
        channels: channels C of the feature map.
        norm: `"l2"`, or `"l1"`, the sum of absolute values.
        after_relu: trust that no value is negative, which spares `"l1"` the absolute values.
        eps: ε, which keeps roots and divisions away from 0.

    Raises:
        FovealError: for another norm, or if `eps` is not positive.

    Departs: ŝ has the mean of squares under the root, as the authors' code does, which is the
    paper's √C over the sum of squares.
    """

    def __init__(
        self, channels: int, norm: str = "l2", after_relu: bool = False, eps: float = 1e-5
    ):
        super().__init__()
        if norm not in ("l1", "l2"):
            raise FovealError(f"norm={norm!r} must be 'l1' or 'l2'")
        if not eps > 0:
            raise FovealError(f"eps={eps} must be positive: a map of zeros divides by its root")
        self.norm, self.after_relu, self.eps = norm, after_relu, eps
        self.sums = norm == "l1"
        self.alpha = nn.Parameter(torch.ones(channels))
        self.gamma = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def _weigh(self, norms: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        if self.norm == "l1":
            strength = norms * self.alpha
            scale = strength.abs().mean(1, keepdim=True) + self.eps
        else:
            strength = (norms.square() + self.eps).sqrt() * self.alpha
            scale = (strength.square().mean(1, keepdim=True) + self.eps).sqrt()
        return 1 + (strength * (self.gamma / scale) + self.beta).tanh()

    def _sums(self, x: Map) -> Float[Tensor, "b c"]:
        wide = torch.promote_types(x.dtype, torch.float32)
        return (x if self.after_relu else x.abs()).sum((2, 3), dtype=wide)

    def attention_map(self, x: Map) -> Float[Tensor, "b c 1 1"]:
        """One weight per channel, in (0, 2)."""
        norms = self._sums(x) if self.norm == "l1" else moments(x, "norm")[0]
        return self._weigh(norms).to(x.dtype)[..., None, None]

    def forward(self, x: Map) -> Map:
        if self.norm == "l1":
            return x * self.attention_map(x)
        return gate_by_moments(x, self._weigh, "norm")
