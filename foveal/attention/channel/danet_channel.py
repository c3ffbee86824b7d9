"""The channel half of dual attention."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.eager import runs_eagerly


@register_attention("danet_channel", paper="Fu et al., DANet, CVPR 2019", arxiv="1809.02983")
class DANetChannel(nn.Module):
    r"""Add to each channel what it attends to over all channels.

    $$y = x + \gamma \cdot \mathrm{softmax}(-X X^\top) X, \quad X \in \mathbb{R}^{C \times HW}$$

    Born an identity, for $\gamma$ starts at 0. Weights of half-precision maps are computed in
    float32: the products of whole channels overflow float16.

    Placed: as one of DANet's two branches, at the end of a dilated backbone.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 1.
    Multiply-adds: 2·C²·H·W + 4·C².

    Args:
        channels: channels C of the feature map; no parameter depends on them.
        attend_to: `"unlike"` channels, as the authors' code does, or `"alike"`.

    Raises:
        FovealError: for another `attend_to`.

    Departs: A channel attends to those most unlike itself, as in the authors' code, whose softmax
    is over the row's maximum minus the products; the paper's is over the products themselves
    (`attend_to="alike"`).
    """

    def __init__(self, channels: int, attend_to: str = "unlike"):
        super().__init__()
        if attend_to not in ("unlike", "alike"):
            raise FovealError(f"attend_to={attend_to!r} must be 'unlike' or 'alike'")
        self.sign = -1.0 if attend_to == "unlike" else 1.0
        self.gamma = nn.Parameter(torch.zeros(1))

    def attention_map(self, x: Map) -> Float[Tensor, "b c c"]:
        """How much each channel takes from each; rows sum to 1."""
        rows = x.flatten(2).to(torch.promote_types(x.dtype, torch.float32))
        return (rows @ rows.mT).mul_(self.sign).softmax(-1).to(x.dtype)

    def forward(self, x: Map) -> Map:
        rows = x.flatten(2)
        weights, values = self.attention_map(x), rows
        if runs_eagerly() and rows.shape[2] < rows.shape[1]:  # γ into the smaller of the two
            values = self.gamma * rows
        else:
            weights = self.gamma * weights
        return torch.baddbmm(rows, weights, values).view_as(x)
