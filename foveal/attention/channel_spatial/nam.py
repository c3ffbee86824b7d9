"""Normalization-based attention."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.norm import BatchNorm2d


@register_attention("nam", paper="Liu et al., NAM, NeurIPS Workshops 2021", arxiv="2111.12419")
class NAM(nn.Module):
    r"""Gate each value by its own batch-normalised self, the more in channels of a larger scale.

    $$y = x \odot \sigma\Big(\frac{|\gamma_c|}{\sum_{c'} |\gamma_{c'}|} \mathrm{BN}(x)\Big)$$

    A batch normalisation's learned scale γ says how much a channel varies, and so is taken for its
    importance: there is no other network, and no pooling. The shares of all channels sum to 1, so
    that gates stay near a half where there are many.

    Placed: at the end of each residual block.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 2·C. Multiply-adds: 2·C·H·W + 4·C.

    Args:
        channels: channels C of the feature map.

    Departs: The shares learn, too; the authors' code cuts their gradient off. The paper's second
    half, the same over positions, has a scale for each position and so one size of map: it is left
    out here, as in the authors' code.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.norm = BatchNorm2d(channels)

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """One weight per value, in (0, 1)."""
        return self._scores(x, self.training and x.numel() != x.shape[1]).sigmoid()

    def _scores(self, x: Map, training: bool) -> Map:
        """The normalised map times the channels' shares, which are put into its scale and shift."""
        norm = self.norm
        sizes = norm.weight.abs()
        share = sizes / sizes.sum().clamp(min=torch.finfo(x.dtype).tiny)
        scale, shift = norm.weight * share, norm.bias * share
        mean, variance = norm.running_mean, norm.running_var
        momentum = norm.momentum or 0.0
        return F.batch_norm(x, mean, variance, scale, shift, training, momentum, norm.eps)

    def forward(self, x: Map) -> Map:
        return x * self.attention_map(x)
