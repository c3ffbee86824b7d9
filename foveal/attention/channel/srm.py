"""Style-based recalibration."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.moments import gate_by_moments, moments
from foveal.ops.norm import BatchNorm1d

EPS = 1e-5


@register_attention("srm", paper="Lee et al., SRM, ICCV 2019", arxiv="1903.10829")
class SRM(nn.Module):
    r"""Gate each channel by its own mean and standard deviation, its style.

    $$y = x \odot \sigma\big(\mathrm{BN}(w_\mu \mu_c + w_\sigma \sigma_c)\big),
    \quad \sigma_c^2 = \frac{1}{HW - 1}\sum_{hw}(x - \mu_c)^2 + \epsilon$$

    No channel sees another: what is learned is only which of the two statistics counts, and how
    much, in each channel. A map of one position has no deviation; there σ² = ε.

    Placed: after the last convolution of each residual block, before the addition.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 4·C. Multiply-adds: 5·C·H·W + 8·C.

    Args:
        channels: channels C of the feature map.

    Departs: ε = 10⁻⁵ stands under the root, as in the authors' code since its correction.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.style_weight = nn.Parameter(torch.zeros(channels, 2))  # born 0, as the authors have it
        self.bn = BatchNorm1d(channels)

    def attention_map(self, x: Map) -> Float[Tensor, "b c 1 1"]:
        """One weight per channel, in (0, 1)."""
        mean, variance = moments(x)
        return self._weigh(mean, variance, x.shape[2] * x.shape[3])[..., None, None]

    def _weigh(
        self, mean: Float[Tensor, "b c"], variance: Float[Tensor, "b c"], size: int
    ) -> Float[Tensor, "b c"]:
        unbiased = variance * _correction(size)
        deviation = (unbiased + EPS).sqrt().to(mean.dtype)
        of_mean, of_deviation = self.style_weight.unbind(1)
        return self.bn(mean * of_mean + deviation * of_deviation).sigmoid()

    def forward(self, x: Map) -> Map:
        size = x.shape[2] * x.shape[3]
        return gate_by_moments(x, lambda mean, variance: self._weigh(mean, variance, size))


def _correction(size: int) -> float:
    return size / max(size - 1, 1)
