"""Linear context transform."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.gate import gate_channels
from foveal.ops.width import fitting_groups


@register_attention("lct", paper="Ruan et al., LCT, AAAI 2020", arxiv="1909.03834")
class LCT(nn.Module):
    r"""Gate each channel by how its mean stands among the means of its group.

    $$y = x \odot \sigma(w \odot \hat z + b), \quad \hat z = \frac{z - \mu_g}{\sqrt{\sigma_g^2 +
    \epsilon}}, \quad z = \mathrm{mean}_{hw}\,x$$

    The group's mean μ and variance σ² are all that a channel learns of the others; where SE has two
    matrices, here each channel has a line of its own.

    Placed: in each residual block, where SE stands.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 2·C. Multiply-adds: 2·C·H·W + 4·C.

    Args:
        channels: channels C of the feature map.
        groups: groups of channels, each normalised by itself. Default: 64, or fewer, so that they
            divide the channels and each has at least 4: a channel alone would be its own mean.
        eps: ε, which keeps the division away from 0.

    Raises:
        FovealError: if `groups` does not divide the channels, or `eps` is not positive.

    Departs: How many groups the paper has could not be checked; ports have 16 or 32.
    """

    weighs_means = True
    """Whether `weigh` needs nothing but the channels' means, so that others may share them."""

    def __init__(self, channels: int, groups: int | None = None, eps: float = 1e-5):
        super().__init__()
        if groups is None:
            groups = fitting_groups(channels, max(1, min(64, channels // 4)))
        if groups < 1 or channels % groups:
            raise FovealError(f"groups={groups} must divide the {channels} channels")
        if not eps > 0:
            raise FovealError(f"eps={eps} must be positive: equal means divide by its root")
        self.groups, self.eps = groups, eps
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.ones(channels))

    def weigh(self, means: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """The weights, from the channels' means."""
        return torch.group_norm(means, self.groups, self.weight, self.bias, self.eps).sigmoid()

    def attention_map(self, x: Map) -> Float[Tensor, "b c 1 1"]:
        """One weight per channel, in (0, 1)."""
        return self.weigh(x.mean((2, 3)))[..., None, None]

    def forward(self, x: Map) -> Map:
        return gate_channels(x, self.weigh, self.parameters())
