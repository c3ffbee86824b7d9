"""Dual attention."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.attention.channel.danet_channel import DANetChannel
from foveal.attention.self_attention.danet_position import DANetPosition
from foveal.core.registry import register_attention
from foveal.core.types import Map


@register_attention("danet", paper="Fu et al., DANet, CVPR 2019", arxiv="1809.02983")
class DANet(nn.Module):
    r"""Sum of attention over positions and attention over channels.

    $$y = P(x) + K(x)$$

    $P$ is `DANetPosition` and $K$ `DANetChannel`. Each adds its input to what it attends to, so
    that the sum is born as 2x.

    Placed: once, on the narrowed map that ends the dilated backbone of a segmentation network.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 2·C·hidden + hidden + C² + C + 2.
    Multiply-adds: (2·C·hidden + 3·C² + 3·C)·H·W + 2·C·(H·W)² + 3·C².

    Args:
        channels: channels C of the feature map.
        reduction: by which queries and keys of the position half are narrower.
        hidden: width of queries and keys. Default: C / reduction, at least 1.
        attend_to: the channels that the channel half attends to, `"unlike"` or `"alike"`.

    Raises:
        FovealError: for another `attend_to`, or a reduction or width below 1.

    Departs: The channel half attends to unlike channels, as in the authors' code; the paper to
    those alike. The convolutions that the authors' head puts around each half are not part of it.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 8,
        hidden: int | None = None,
        attend_to: str = "unlike",
    ):
        super().__init__()
        self.position = DANetPosition(channels, reduction, hidden)
        self.channel = DANetChannel(channels, attend_to)
        self.hidden = self.position.hidden

    def attention_map(self, x: Map) -> Float[Tensor, "b n n"]:
        """The position half's: how much each position takes from each; rows sum to 1."""
        return self.position.attention_map(x)

    def forward(self, x: Map) -> Map:
        return self.position(x) + self.channel(x)
