"""The spatial branch of BAM, alone."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.norm import BatchNorm2d
from foveal.ops.width import hidden_width


def spatial_scores(channels: int, hidden: int, convs: int, dilation: int) -> nn.Sequential:
    """The branch's network, from the map to a score for each position."""
    stages = [nn.Conv2d(channels, hidden, 1, bias=False), BatchNorm2d(hidden), nn.ReLU()]
    for _ in range(convs):
        conv = nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation, bias=False)
        stages += [conv, BatchNorm2d(hidden), nn.ReLU()]
    return nn.Sequential(*stages, nn.Conv2d(hidden, 1, 1))


@register_attention("bam_spatial", paper="Park et al., BAM, BMVC 2018", arxiv="1807.06514")
class BAMSpatial(nn.Module):
    r"""Gate each position by dilated convolutions in a bottleneck.

    $$y = x \odot \sigma\big(M_s(x)\big), \quad
    M_s(x) = w^\top f_2(f_1(f_0(x))) + b, \quad f_i = \mathrm{ReLU}(\mathrm{BN}(\mathrm{conv}_i))$$

    conv₀ is 1×1, the others 3×3 with dilation. BAM adds the scores $M_s$ to those of `BAMChannel`
    before the sigmoid.

    Placed: as one of BAM's two branches, between the stages of a network.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·hidden + 3·hidden + 1 + num_convs·(9·hidden² + 2·hidden).
    Multiply-adds: C·H·W + H·W·(C·hidden + 2·hidden + num_convs·(9·hidden² + hidden)).

    Args:
        channels: channels C of the feature map.
        reduction: r, by which the convolutions are narrower.
        dilation: distance between the taps of the convolutions.
        num_convs: dilated convolutions.
        hidden: their width. Default: C/r, at least 1.

    Raises:
        FovealError: for a number that must be positive and is not.

    Departs: In the paper it gates nothing by itself, being one term of BAM's scores. Layers before
    a batch normalisation have no bias, which it would cancel.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        dilation: int = 4,
        num_convs: int = 2,
        hidden: int | None = None,
    ):
        super().__init__()
        if dilation < 1 or num_convs < 0:
            raise FovealError(
                f"dilation={dilation} must be at least 1, num_convs={num_convs} at least 0"
            )
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.num_convs = num_convs
        self.network = spatial_scores(channels, self.hidden, num_convs, dilation)

    def scores(self, x: Map) -> Float[Tensor, "b 1 h w"]:
        """What the gate is the sigmoid of."""
        return self.network(x)

    def attention_map(self, x: Map) -> Float[Tensor, "b 1 h w"]:
        """One weight per position, in (0, 1)."""
        return self.scores(x).sigmoid()

    def forward(self, x: Map) -> Map:
        return x * self.attention_map(x)
