"""Squeeze-and-excitation."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.activation import activation
from foveal.ops.gate import gate_channels
from foveal.ops.norm import BatchNorm1d
from foveal.ops.width import hidden_width


@register_attention("se", paper="Hu et al., Squeeze-and-Excitation, CVPR 2018", arxiv="1709.01507")
class SE(nn.Module):
    r"""Gate each channel by a two-layer network over the means of all channels.

    $$y = x \odot \sigma\big(W_2\,\mathrm{ReLU}(W_1\,\mathrm{mean}_{hw}\,x)\big),
    \quad W_1 \in \mathbb{R}^{C/r \times C}$$

    Placed: after the last convolution of each residual block, before the addition.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 2·C·hidden + bias·(C + hidden) + norm·2·hidden.
    Multiply-adds: 2·C·H·W + 2·C·hidden + norm·hidden + add_max·2·C.

    Args:
        channels: channels C of the feature map.
        reduction: r, by which the hidden layer is narrower.
        hidden: width of the hidden layer. Default: C/r, at least 1.
        bias: give both layers a bias.
        norm: batch-normalise the hidden layer.
        add_max: squeeze to the average of mean and maximum, not to the mean alone.
        act: activation of the hidden layer, by name.
        gate: what makes weights of the scores, by name; `"hard_sigmoid"` is MobileNetV3's.

    Raises:
        FovealError: for a reduction or width below 1, or an unknown activation.

    Departs: The layers have no bias, as in the paper, whose count of 2C²/r parameters leaves none;
    the authors' Caffe weights, and timm's, have them (`bias=True`).
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        hidden: int | None = None,
        bias: bool = False,
        norm: bool = False,
        add_max: bool = False,
        act: str = "relu",
        gate: str = "sigmoid",
    ):
        super().__init__()
        self.bias, self.norm, self.add_max = bias, norm, add_max
        self.weighs_means = not add_max
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.squeeze = nn.Linear(channels, self.hidden, bias)
        self.bn = BatchNorm1d(self.hidden) if norm else nn.Identity()
        self.act = activation(act)
        self.excite = nn.Linear(self.hidden, channels, bias)
        self.gate = activation(gate)

    def attention_map(self, x: Map) -> Float[Tensor, "b c 1 1"]:
        """One weight per channel, in (0, 1)."""
        pooled = x.mean((2, 3))  # (B, C)
        if self.add_max:
            pooled = 0.5 * (pooled + x.amax((2, 3)))
        return self.weigh(pooled)[..., None, None]

    def weigh(self, pooled: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """The weights, from what the channels are pooled to."""
        hidden = self.act(self.bn(self.squeeze(pooled)))
        return self.gate(self.excite(hidden))

    def forward(self, x: Map) -> Map:
        if self.add_max:
            return x * self.attention_map(x)
        return gate_channels(x, self.weigh, self.parameters())
