"""Multi-scale channel attention."""

from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.norm import BatchNorm2d
from foveal.ops.width import hidden_width


def _bottleneck(channels: int, hidden: int) -> nn.Sequential:
    """Two pointwise convolutions. The norms after them take out any bias, so they have none."""
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1, bias=False),
        BatchNorm2d(hidden),
        nn.ReLU(),
        nn.Conv2d(hidden, channels, 1, bias=False),
        BatchNorm2d(channels),
    )


@register_attention("ms_cam", paper="Dai et al., Attentional Feature Fusion, WACV 2021",
                    arxiv="2009.14082")  # fmt: skip
class MSCAM(nn.Module):
    r"""Gate by two bottlenecks at once: one over the channel means, one at every position.

    $$y = x \odot \sigma\big(L(x) + G(\mathrm{mean}_{hw}\,x)\big), \quad
    L, G = \mathrm{BN}\,W_2\,\mathrm{ReLU}\,\mathrm{BN}\,W_1$$

    Where BAM looks around with dilated convolutions, both scales here are pointwise: the whole map
    and the single position.

    Placed: as the gate of attentional feature fusion, and where SE stands.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 4·C·hidden + 4·hidden + 4·C.
    Multiply-adds: (2·C·hidden + hidden + 4·C)·H·W + 2·C·hidden + hidden + C.

    Args:
        channels: channels C of the feature map.
        reduction: by which the bottlenecks are narrower.
        hidden: width of the bottlenecks. Default: C / reduction, at least 1.

    Raises:
        FovealError: for a reduction or width below 1.

    Departs: The convolutions have no biases, which the norms after them would take out.
    """

    def __init__(self, channels: int, reduction: int = 4, hidden: int | None = None):
        super().__init__()
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.local_scale = _bottleneck(channels, self.hidden)
        self.global_scale = _bottleneck(channels, self.hidden)

    def attention_map(self, x: Map) -> Tensor:
        """A weight for each channel at each position."""
        means = self.global_scale(x.mean((2, 3), keepdim=True))
        return (self.local_scale(x) + means).sigmoid()

    def forward(self, x: Map) -> Map:
        return x * self.attention_map(x)
