"""Global attention mechanism."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.activation import activation
from foveal.ops.norm import BatchNorm2d
from foveal.ops.width import hidden_width


@register_attention(
    "gam", paper="Liu et al., Global Attention Mechanism, arXiv 2021", arxiv="2112.05561"
)
class GAM(nn.Module):
    r"""Gate each value by the channels at its position, and then by a wide dense convolution.

    $$y = z \odot \sigma\big(f_2(\mathrm{ReLU}(f_1\,z))\big), \quad
    z = x \odot \sigma(W_2\,\mathrm{ReLU}(W_1 x)), \quad
    f = \mathrm{BN} \circ \mathrm{conv}_{7\times7}$$

    In the order of CBAM, without its pooling: no mean or maximum over positions before the channel
    gate, and none over channels before the spatial one, which costs 98·C²/r multiply-adds a
    position.

    Placed: in the blocks of ResNet and MobileNetV2.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 2·C·hidden·(1 + kernel_size²/groups) + 3·(C + hidden).
    Multiply-adds: (2·C·hidden·(1 + kernel_size²/groups) + 3·C + hidden)·H·W.

    Args:
        channels: channels C of the feature map.
        reduction: r, by which both hidden layers are narrower.
        kernel_size: size of both convolutions, odd.
        groups: of both convolutions; the paper groups and shuffles where parameters are dear.
        shuffle: groups of channels among which the spatial weights are shuffled. Default: `groups`.
        hidden: width of the hidden layers. Default: C/r, at least 1.
        gate: what makes weights of the channel scores, by name.

    Raises:
        FovealError: for an even size, groups that do not divide the channels and the hidden width,
            a reduction or width below 1, or an unknown activation.

    Departs: The convolutions have no bias, which the batch normalisation would cancel. The common
    ports leave the channel scores without a sigmoid (`gate="identity"`), which the paper draws.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 4,
        kernel_size: int = 7,
        groups: int = 1,
        shuffle: int | None = None,
        hidden: int | None = None,
        gate: str = "sigmoid",
    ):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise FovealError(
                f"kernel_size={kernel_size} must be odd, so that the map keeps its size"
            )
        width = self.hidden = hidden_width(channels, reduction, hidden=hidden)
        if groups < 1 or channels % groups or width % groups:
            raise FovealError(
                f"groups={groups} must divide the channels={channels} and the hidden={width}"
            )
        self.shuffle = groups if shuffle is None else shuffle
        if self.shuffle < 1 or channels % self.shuffle:
            raise FovealError(f"shuffle={shuffle} must divide the channels={channels}")
        self.kernel_size, self.groups = kernel_size, groups
        self.channel = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, channels, 1),
            activation(gate),
        )
        options = {"padding": kernel_size // 2, "groups": groups, "bias": False}
        self.spatial = nn.Sequential(
            nn.Conv2d(channels, width, kernel_size, **options),
            BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, channels, kernel_size, **options),
            BatchNorm2d(channels),
            nn.Sigmoid(),
        )

    def _spatial(self, x: Map) -> Float[Tensor, "b c h w"]:
        weights = self.spatial(x)
        if self.shuffle > 1:
            weights = rearrange(weights, "b (g c) h w -> b (c g) h w", g=self.shuffle)
        return weights

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """The product of both weights, in (0, 1), or with another `gate` in the range of that."""
        channel = self.channel(x)
        return channel * self._spatial(x * channel)

    def forward(self, x: Map) -> Map:
        gated = x * self.channel(x)
        return gated * self._spatial(gated)
