"""Concurrent spatial and channel squeeze-and-excitation."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.attention.channel.se import SE
from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map


@register_attention(
    "scse", paper="Roy et al., Concurrent Spatial and Channel SE, MICCAI 2018", arxiv="1803.02579"
)
class SCSE(nn.Module):
    r"""Add a map gated by channels to the same map gated by positions, side by side.

    $$y = x \odot \sigma\big(W_2\,\mathrm{ReLU}(W_1\,\mathrm{mean}_{hw}\,x)\big)
    + x \odot \sigma(w^\top x)$$

    Where CBAM gates one after the other, both gates see the input here, and a value is kept that
    either of them finds worth keeping.

    Placed: after each block of the encoder and the decoder of a segmentation network.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 2·C·hidden + C + bias·(C + hidden + 1).
    Multiply-adds: 4·C·H·W + 2·C·hidden.

    Args:
        channels: channels C of the feature map.
        reduction: r, by which the hidden layer of the channel gate is narrower.
        hidden: width of the hidden layer. Default: C/r, at least 1.
        combine: `"sum"` of both results, or `"max"`, the larger of both, value by value.
        bias: give all three layers a bias.

    Raises:
        FovealError: for a reduction or width below 1, or an unknown way to combine.

    Departs: The layers have biases, as in the authors' code; the paper writes none (`bias=False`).
    The sum is the paper's; the authors' code takes the larger value (`combine="max"`), which their
    later paper (arXiv 1808.08127) found best.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 2,
        hidden: int | None = None,
        combine: str = "sum",
        bias: bool = True,
    ):
        super().__init__()
        if combine not in ("sum", "max"):
            raise FovealError(f"combine={combine!r} must be 'sum' or 'max'")
        self.channel = SE(channels, reduction, hidden, bias=bias)
        self.position = nn.Conv2d(channels, 1, 1, bias=bias)
        self.combine, self.bias, self.hidden = combine, bias, self.channel.hidden

    def _gates(self, x: Map) -> tuple[Float[Tensor, "b c 1 1"], Float[Tensor, "b 1 h w"]]:
        return self.channel.attention_map(x), self.position(x).sigmoid()

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """The factor on every value, in (0, 2): the sum of both weights; with `combine="max"` the
        larger of them, but for negative values the smaller."""
        channel, position = self._gates(x)
        if self.combine == "sum":
            return channel + position
        least, most = torch.minimum(channel, position), torch.maximum(channel, position)
        return torch.where(x < 0, least, most)

    def forward(self, x: Map) -> Map:
        channel, position = self._gates(x)
        if self.combine == "sum":
            return (x * channel).addcmul_(x, position.to(x.dtype))
        return torch.maximum(x * channel, x * position)
