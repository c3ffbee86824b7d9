"""Bottleneck attention module."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.attention.channel.bam_channel import channel_scores
from foveal.attention.spatial.bam_spatial import spatial_scores
from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.several_gates import gate_and_add
from foveal.ops.width import hidden_width


@register_attention("bam", paper="Park et al., BAM, BMVC 2018", arxiv="1807.06514")
class BAM(nn.Module):
    r"""Amplify each value by a channel's score and a position's score, taken together.

    $$y = x \odot \big(1 + \sigma(M_c(x) \cdot M_s(x))\big)$$

    $M_c$ is a small network over the channel means, $M_s$ dilated convolutions in a bottleneck.

    Placed: between the stages of a network, before each down-sampling.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 3·C·hidden + C + 3·hidden + 1 + num_layers·2·hidden + (num_layers − 1)·hidden²
    + num_convs·(9·hidden² + 2·hidden).
    Multiply-adds: 3·C·H·W + 2·C·hidden + num_layers·hidden + (num_layers − 1)·hidden²
    + H·W·(C·hidden + 2·hidden + num_convs·(9·hidden² + hidden)).

    Args:
        channels: channels C of the feature map.
        reduction: r, by which both branches are narrower.
        dilation: distance between the taps of the spatial branch's convolutions.
        num_layers: hidden layers of the channel branch.
        num_convs: dilated convolutions of the spatial branch.
        hidden: width of both branches. Default: C/r, at least 1.
        combine: `"product"` or `"sum"` of the two branches' scores.

    Raises:
        FovealError: for an unknown `combine`, or a number that must be positive and is not.

    Departs: The scores are multiplied, as in the authors' code; the paper adds them
    (`combine="sum"`). Layers before a batch normalisation have no bias, which it would cancel.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        dilation: int = 4,
        num_layers: int = 1,
        num_convs: int = 2,
        hidden: int | None = None,
        combine: str = "product",
    ):
        super().__init__()
        if combine not in ("product", "sum"):
            raise FovealError(f"combine={combine!r} must be 'product' or 'sum'")
        if min(dilation, num_layers) < 1 or num_convs < 0:
            raise FovealError(
                f"dilation={dilation} and num_layers={num_layers} must be at least 1, "
                f"num_convs={num_convs} at least 0"
            )
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.num_layers, self.num_convs, self.combine = num_layers, num_convs, combine
        self.channel = channel_scores(channels, self.hidden, num_layers)
        self.spatial = spatial_scores(channels, self.hidden, num_convs, dilation)

    def _gate(self, x: Map) -> Float[Tensor, "b c h w"]:
        channel = self.channel(x.mean((2, 3)))[..., None, None]
        spatial = self.spatial(x)
        scores = channel * spatial if self.combine == "product" else channel + spatial
        return scores.sigmoid()

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """The factor on every value, in (1, 2)."""
        return 1 + self._gate(x)

    def forward(self, x: Map) -> Map:
        return gate_and_add(x, self._gate(x))
