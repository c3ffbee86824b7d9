"""Gaussian context transformer."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn, zeros

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.gate import gate_channels


@register_attention("gct_gaussian", paper="Ruan et al., Gaussian Context Transformer, CVPR 2021")
class GCTGaussian(nn.Module):
    r"""Damp a channel the more, the further its mean lies from that of all channels, by a bell.

    $$y = x \odot \exp\Big(-\frac{\hat z^2}{2 c^2}\Big), \quad
    \hat z = \frac{z - \mathrm{mean}_c\,z}{\sqrt{\mathrm{var}_c\,z + \epsilon}}, \quad
    z = \mathrm{mean}_{hw}\,x$$

    What SE and LCT learn, the relation of a channel's mean to its weight, is taken as known here,
    so that there is nothing to learn (B0), or one number (B1).

    Placed: in each residual block, where SE stands.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: learnable. Multiply-adds: 2·C·H·W + 6·C.

    Args:
        channels: channels C of the feature map; nothing depends on them.
        c: width of the bell, where it is not learned.
        learnable: learn the width (the paper's GCT-B1), c = least + (most − least)·σ(θ), with θ
            born 0.
        least, most: bounds of a learned width.
        eps: ε, which keeps the division away from 0.

    Raises:
        FovealError: if `c`, `least` or `eps` is not positive, or `most` is not more than `least`.

    Departs: ε stands under the root, where the paper adds it to the root. The bounds of a learned
    width are those of its ports, for its authors published no code.
    """

    weighs_means = True
    """Whether `weigh` needs nothing but the channels' means, so that others may share them."""

    def __init__(
        self,
        channels: int,
        c: float = 2.0,
        learnable: bool = False,
        least: float = 1.0,
        most: float = 4.0,
        eps: float = 1e-5,
    ):
        super().__init__()
        if not (c > 0 and least > 0 and eps > 0):
            raise FovealError(f"c={c}, least={least} and eps={eps} must be positive: they divide")
        if not most > least:
            raise FovealError(f"most={most} must be more than least={least}, for a width between")
        self.c, self.least, self.most, self.eps = c, least, most, eps
        self.learnable = learnable
        self.theta = nn.Parameter(zeros(())) if learnable else None

    @property
    def width(self) -> Tensor | float:
        """The width c of the bell."""
        if self.theta is None:
            return self.c
        return self.least + (self.most - self.least) * self.theta.sigmoid()

    def weigh(self, means: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """The weights, from the channels' means."""
        place = F.layer_norm(means, means.shape[1:], eps=self.eps)
        return (-0.5 * (place / self.width).square()).exp()

    def attention_map(self, x: Map) -> Float[Tensor, "b c 1 1"]:
        """One weight per channel, in (0, 1]."""
        return self.weigh(x.mean((2, 3)))[..., None, None]

    def forward(self, x: Map) -> Map:
        return gate_channels(x, self.weigh, self.parameters())
