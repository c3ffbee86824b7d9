"""The channel branch of BAM, alone."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.norm import BatchNorm1d
from foveal.ops.width import hidden_width


def channel_scores(channels: int, hidden: int, layers: int) -> nn.Sequential:
    """The branch's network, from the channels' means to their scores."""
    widths = [channels, *[hidden] * layers]
    stages: list[nn.Module] = []
    for before, after in pairwise(widths):
        stages += [nn.Linear(before, after, bias=False), BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*stages, nn.Linear(hidden, channels))


@register_attention("bam_channel", paper="Park et al., BAM, BMVC 2018", arxiv="1807.06514")
class BAMChannel(nn.Module):
    r"""Gate each channel by a small network over the means of all channels.

    $$y = x \odot \sigma\big(M_c(x)\big), \quad
    M_c(x) = W_1\,\mathrm{ReLU}(\mathrm{BN}(W_0\,\mathrm{mean}_{hw}\,x)) + b$$

    BAM adds its scores $M_c$ to those of `BAMSpatial` before the sigmoid.

    Placed: as one of BAM's two branches, between the stages of a network.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 2·C·hidden + C + num_layers·2·hidden + (num_layers − 1)·hidden².
    Multiply-adds: 2·C·H·W + 2·C·hidden + num_layers·hidden + (num_layers − 1)·hidden².

    Args:
        channels: channels C of the feature map.
        reduction: r, by which the hidden layers are narrower.
        num_layers: hidden layers.
        hidden: their width. Default: C/r, at least 1.

    Raises:
        FovealError: for a number that must be positive and is not.

    Departs: In the paper it gates nothing by itself, being one term of BAM's scores. Layers before
    a batch normalisation have no bias, which it would cancel.
    """

    weighs_means = True
    """Whether `weigh` needs nothing but the channels' means, so that others may share them."""

    def __init__(
        self, channels: int, reduction: int = 16, num_layers: int = 1, hidden: int | None = None
    ):
        super().__init__()
        if num_layers < 1:
            raise FovealError(f"num_layers={num_layers} must be at least 1")
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.num_layers = num_layers
        self.network = channel_scores(channels, self.hidden, num_layers)

    def scores(self, x: Map) -> Float[Tensor, "b c 1 1"]:
        """What the gate is the sigmoid of."""
        return self.network(x.mean((2, 3)))[..., None, None]

    def weigh(self, means: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """The weights, from the channels' means."""
        return self.network(means).sigmoid()

    def attention_map(self, x: Map) -> Float[Tensor, "b c 1 1"]:
        """One weight per channel, in (0, 1)."""
        return self.weigh(x.mean((2, 3)))[..., None, None]

    def forward(self, x: Map) -> Map:
        return x * self.attention_map(x)
