"""Simple, parameter-free attention."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.standout import gate_standout, standout_weights


@register_attention("simam", paper="Yang et al., SimAM, ICML 2021")
class SimAM(nn.Module):
    r"""Gate each value by how far it stands out from the mean of its channel.

    $$y = x \odot \sigma\Big(\frac{(x - \mu)^2}{4(\hat\sigma^2 + \lambda)} + \frac12\Big), \quad
    \hat\sigma^2 = \frac{1}{HW - 1}\sum_{hw}(x - \mu)^2$$

    The exponent is the inverse of the least energy of a neuron that tells itself from the others,
    in closed form. A map of one position has no variance; there the weight is σ(½).

    Placed: after the second convolution of each residual block.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 0. Multiply-adds: 6·C·H·W + 5·C.

    Args:
        channels: channels C of the feature map; nothing depends on them.
        e_lambda: λ, which keeps the division away from 0.

    Raises:
        FovealError: if `e_lambda` is not positive.
    """

    def __init__(self, channels: int, e_lambda: float = 1e-4):
        super().__init__()
        if not e_lambda > 0:
            raise FovealError(f"e_lambda={e_lambda} must be positive: a constant map divides by it")
        self.e_lambda = e_lambda

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """One weight per value, in [0.62, 1)."""
        return standout_weights(x, self.e_lambda)

    def forward(self, x: Map) -> Map:
        return gate_standout(x, self.e_lambda)
