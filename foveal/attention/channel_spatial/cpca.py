"""Channel prior convolutional attention."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.large_kernel import depthwise
from foveal.ops.width import hidden_width


@register_attention("cpca", paper="Huang et al., CPCA, CBM 2024", arxiv="2306.05196")
class CPCA(nn.Module):
    r"""Gate the channels, and then each value by crosses of strips along its own channel.

    $$y = W\Big(W\big(u + \sum_k \mathrm{dw}_{k\times1}\,\mathrm{dw}_{1\times k}\,u\big) \odot v
    \Big), \quad u = \mathrm{dw}_{5\times5}\,v, \quad v = a \odot \mathrm{GELU}(W x), \quad
    a = \sigma(m(\mathrm{mean}_{hw})) + \sigma(m(\max\nolimits_{hw}))$$

    CBAM gives a position one weight for all channels; here each channel has its own map, from the
    convolutions of MSCA. One pointwise layer W serves all three times.

    Placed: in the blocks of CPCANet, a network that segments medical images.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·(C + local_size² + strip_taps + 2·num_strips + 2) + 2·C·hidden + hidden + C.
    Multiply-adds: (3·C + local_size² + strip_taps + num_strips + 3)·C·H·W + 4·C·hidden + C.

    Args:
        channels: channels C of the feature map.
        reduction: r, by which the hidden layer of the channel gate is narrower.
        kernel_size: k of each pair of strips, odd.
        local_size: size of the kernel that gathers first, odd.
        hidden: width of the hidden layer. Default: C/r, at least 1.
        two_gates: add a weight from the means and one from the maxima. Otherwise the scores are
            added, and there is one weight.

    Raises:
        FovealError: if a size is even, or for a reduction or width below 1.

    Departs: Channels have a sum of two weights, as in the authors' code; the paper's equation makes
    one of the sum of the scores (`two_gates=False`).
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 4,
        kernel_size: Sequence[int] = (7, 11, 21),
        local_size: int = 5,
        hidden: int | None = None,
        two_gates: bool = True,
    ):
        super().__init__()
        self.local_size, self.two_gates = local_size, two_gates
        self.num_strips, self.strip_taps = len(kernel_size), 2 * sum(kernel_size)
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.mix = nn.Conv2d(channels, channels, 1)
        self.act = nn.GELU()
        self.channel = nn.Sequential(
            nn.Linear(channels, self.hidden), nn.ReLU(), nn.Linear(self.hidden, channels)
        )
        self.local = depthwise(channels, local_size)
        self.strips = nn.ModuleList(
            nn.Sequential(depthwise(channels, (1, k)), depthwise(channels, (k, 1)))
            for k in kernel_size
        )

    def _channel(self, mixed: Map) -> Float[Tensor, "b c 1 1"]:
        means, most = self.channel(mixed.mean((2, 3))), self.channel(mixed.amax((2, 3)))
        both = means.sigmoid() + most.sigmoid() if self.two_gates else (means + most).sigmoid()
        return both[..., None, None]

    def _spatial(self, gated: Map) -> Map:
        local = self.local(gated)
        scales = local
        for strip in self.strips:
            scales = scales + strip(local)
        return self.mix(scales)

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """The factor on every value of the first layer's result, in (-∞, ∞)."""
        mixed = self.act(self.mix(x))
        channel = self._channel(mixed)
        return channel * self._spatial(mixed * channel)

    def forward(self, x: Map) -> Map:
        y = self.act(self.mix(x))
        y = y * self._channel(y)
        return self.mix(y * self._spatial(y))
