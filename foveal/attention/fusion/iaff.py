"""Iterative attentional feature fusion."""

from torch import Tensor, nn

from foveal.attention.channel_spatial.ms_cam import MSCAM
from foveal.attention.fusion.aff import check_sizes, shared_out
from foveal.core.registry import register_attention
from foveal.core.types import Map


@register_attention("iaff", paper="Dai et al., Attentional Feature Fusion, WACV 2021",
                    arxiv="2009.14082")  # fmt: skip
class IAFF(nn.Module):
    r"""Fuse two maps by a gate that looks at a first fusion of them, itself gated.

    $$z = m_2 \odot x + (1 - m_2) \odot o, \quad m_2 = M_2\big(m_1 \odot x + (1 - m_1) \odot o\big),
    \quad m_1 = M_1(x + o)$$

    Attentional feature fusion once more, with a second gate: the plain sum, which is a poor thing
    to judge two maps by where they differ much, decides the first fusion only.

    Placed: in place of the addition at the end of a skip connection, or wherever two maps are
    summed.

    Shape: twice (B, C, H, W) → (B, C, H, W). Parameters: 8·C·hidden + 8·hidden + 8·C.
    Multiply-adds: (4·C·hidden + 2·hidden + 9·C)·H·W + 4·C·hidden + 2·hidden + 2·C.

    Args:
        channels: channels C of both maps.
        reduction: by which the gates' bottlenecks are narrower.
        hidden: width of the bottlenecks. Default: C / reduction, at least 1.

    Raises:
        FovealError: for a reduction or width below 1; and when called, for maps of two sizes.

    Departs: Each gate has a global branch of its own, as in the paper, where the authors' PyTorch
    code runs the first gate's twice and leaves the second's idle. No biases before norms.
    """

    def __init__(self, channels: int, reduction: int = 4, hidden: int | None = None):
        super().__init__()
        self.first = MSCAM(channels, reduction, hidden)
        self.second = MSCAM(channels, reduction, hidden)
        self.hidden = self.first.hidden

    def attention_map(self, x: Map, other: Map) -> Tensor:
        """The share of `x` in the end; that of the other map is what is left to 1."""
        first = shared_out(x, other, self.first.attention_map(x + other))
        return self.second.attention_map(first)

    def forward(self, x: Map, other: Map) -> Map:
        check_sizes("iaff", x, other)
        return shared_out(x, other, self.attention_map(x, other))
