"""Effective squeeze-and-excitation."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.activation import activation
from foveal.ops.gate import gate_channels


@register_attention("ese", paper="Lee and Park, CenterMask, CVPR 2020", arxiv="1911.06667")
class ESE(nn.Module):
    r"""Gate each channel by one linear layer over the means of all channels.

    $$y = x \odot \sigma\big(W\,\mathrm{mean}_{hw}\,x + b\big),
    \quad W \in \mathbb{R}^{C \times C}$$

    SE with its two layers made one: no bottleneck loses what other channels say, at the price of C²
    parameters instead of 2C²/r.

    Placed: in each aggregation block of VoVNet, after the 1 × 1 convolution that joins its layers,
    before the addition.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: C² + C.
    Multiply-adds: 2·C·H·W + C² + add_max·2·C.

    Args:
        channels: channels C of the feature map.
        add_max: squeeze to the average of mean and maximum, not to the mean alone.
        gate: what makes weights of the scores, by name.

    Raises:
        FovealError: for an unknown activation.

    Departs: The gate σ is a hard sigmoid, min(max(x + 3, 0), 6) / 6, as in the authors' code and
    weights; the paper writes a sigmoid (`gate="sigmoid"`).
    """

    def __init__(self, channels: int, add_max: bool = False, gate: str = "hard_sigmoid"):
        super().__init__()
        self.add_max = add_max
        self.weighs_means = not add_max
        self.fc = nn.Linear(channels, channels)
        self.gate = activation(gate)

    def weigh(self, pooled: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """The weights, from what the channels are pooled to."""
        return self.gate(self.fc(pooled))

    def attention_map(self, x: Map) -> Float[Tensor, "b c 1 1"]:
        """One weight per channel, in [0, 1]."""
        pooled = x.mean((2, 3))
        if self.add_max:
            pooled = 0.5 * (pooled + x.amax((2, 3)))
        return self.weigh(pooled)[..., None, None]

    def forward(self, x: Map) -> Map:
        if self.add_max:
            return x * self.attention_map(x)
        return gate_channels(x, self.weigh, self.parameters())
