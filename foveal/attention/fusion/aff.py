"""Attentional feature fusion."""

import torch
from torch import Tensor, nn

from foveal.attention.channel_spatial.ms_cam import MSCAM
from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map


def check_sizes(name: str, x: Tensor, other: Tensor) -> None:
    """Refuse two maps that are not of one size."""
    if x.shape != other.shape:
        raise FovealError(
            f"{name} fuses two maps of one size, got {tuple(x.shape)} and {tuple(other.shape)}; "
            "resize one of them first"
        )


def shared_out(x: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """share · x + (1 − share) · other, where autocast may have given them different types."""
    dtype = torch.promote_types(x.dtype, other.dtype)
    return torch.lerp(other.to(dtype), x.to(dtype), share.to(dtype))


@register_attention("aff", paper="Dai et al., Attentional Feature Fusion, WACV 2021",
                    arxiv="2009.14082")  # fmt: skip
class AFF(nn.Module):
    r"""Fuse two maps by a gate that shares each channel at each position out between them.

    $$z = g \cdot \big(m \odot x + (1 - m) \odot o\big), \quad m = M(x + o)$$

    M is the gate of MS-CAM, over the sum of both. It stands for the plain sum of a shortcut, of two
    levels of a pyramid or of two branches.

    Placed: in place of the addition at the end of a skip connection, or wherever two maps are
    summed.

    Shape: twice (B, C, H, W) → (B, C, H, W). Parameters: 4·C·hidden + 4·hidden + 4·C.
    Multiply-adds: (2·C·hidden + hidden + 6·C)·H·W + 2·C·hidden + hidden + C.

    Args:
        channels: channels C of both maps.
        reduction: by which the gate's bottlenecks are narrower.
        hidden: width of the bottlenecks. Default: C / reduction, at least 1.
        gain: g; with the published code's 2 a gate of one half gives the sum, the paper's equation
            has 1.

    Raises:
        FovealError: for a reduction or width below 1; and when called, for maps of two sizes.

    Departs: The gate's convolutions have no biases, which the norms after them would take out.
    """

    def __init__(
        self, channels: int, reduction: int = 4, hidden: int | None = None, gain: float = 2.0
    ):
        super().__init__()
        self.gate = MSCAM(channels, reduction, hidden)
        self.hidden, self.gain = self.gate.hidden, gain

    def attention_map(self, x: Map, other: Map) -> Tensor:
        """The share of `x`; that of the other map is what is left to 1."""
        return self.gate.attention_map(x + other)

    def forward(self, x: Map, other: Map) -> Map:
        check_sizes("aff", x, other)
        fused = shared_out(x, other, self.attention_map(x, other))
        return fused if self.gain == 1 else self.gain * fused
