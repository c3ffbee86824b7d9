"""Split attention."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.activation import activation
from foveal.ops.norm import BatchNorm2d
from foveal.ops.width import hidden_width


@register_attention(
    "split_attn",
    paper="Zhang et al., ResNeSt: Split-Attention Networks, CVPR Workshops 2022",
    arxiv="2004.08955",
)
class SplitAttention(nn.Module):
    r"""Convolve the channels' splits apart, and let each channel of the result choose its splits.

    $$y = \sum_r a_r \odot u_r, \quad a = \mathrm{softmax}_r\big(W_2\,\mathrm{ReLU}(\mathrm{BN}(
    W_1 \textstyle\sum_r \mathrm{mean}_{hw}\,u_r))\big), \quad
    u = \mathrm{ReLU}(\mathrm{BN}(\mathrm{conv}(x)))$$

    Selective kernels give the whole input to convolutions of several sizes; here the convolutions
    are alike, and what sets them apart is the share of the input that each reads. With a single
    split there is nothing to choose, and a sigmoid gates the channels instead.

    Placed: in place of the 3 × 3 convolution of ResNet's bottlenecks.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: radix·C·(taps + 3) + (1 + radix)·C·hidden/groups + 2·hidden.
    Multiply-adds: radix·C·H·W·(taps + 3) + (1 + radix)·C·hidden/groups + hidden + 3·radix·C.

    Args:
        channels: channels C of the feature map.
        kernel_size: size of the convolution, odd.
        radix: splits to choose from. Where they do not divide the channels, each reads them all.
        groups: the paper's cardinality: groups of channels that know nothing of each other.
        dilation: distance between taps.
        reduction: r, by which the hidden layer is narrower than the splits together.
        min_hidden: the least width of the hidden layer.
        hidden: width of the hidden layer. Default: radix · C / r, at least `min_hidden`, rounded up
            to a multiple of `groups`.
        act: activation, by name.

    Raises:
        FovealError: for an even `kernel_size`, groups that do not divide the channels or `hidden`,
            numbers below 1, or an unknown activation.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        radix: int = 2,
        groups: int = 1,
        dilation: int = 1,
        reduction: int = 4,
        min_hidden: int = 32,
        hidden: int | None = None,
        act: str = "relu",
    ):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise FovealError(f"kernel_size={kernel_size} must be odd, to keep the map's size")
        if radix < 1 or dilation < 1:
            raise FovealError(f"radix={radix} and dilation={dilation} must be at least 1")
        parts = groups * radix if groups > 1 or channels % radix == 0 else 1
        if groups < 1 or channels % parts:
            raise FovealError(
                f"channels={channels} do not divide into groups={groups} × radix={radix}"
            )
        width = hidden_width(channels * radix, reduction, least=min_hidden, hidden=hidden)
        if hidden is not None and hidden % groups:
            raise FovealError(f"hidden={hidden} does not divide into groups={groups}")
        self.radix, self.groups = radix, groups
        self.hidden = -(-width // groups) * groups
        self.taps = kernel_size**2 * channels // parts
        self.conv = nn.Conv2d(
            channels,
            radix * channels,
            kernel_size,
            padding=dilation * (kernel_size // 2),
            dilation=dilation,
            groups=parts,
            bias=False,
        )
        self.norm: nn.Module = BatchNorm2d(radix * channels)
        self.act = activation(act)
        self.fuse = nn.Sequential(
            nn.Conv2d(channels, self.hidden, 1, groups=groups, bias=False),
            BatchNorm2d(self.hidden),
            activation(act),
        )
        self.select = nn.Conv2d(self.hidden, radix * channels, 1, groups=groups)

    def _split(self, x: Map) -> tuple[Tensor, Tensor]:
        """The splits (B, radix, C, H, W) and the share of each."""
        splits = self.act(self.norm(self.conv(x))).unflatten(1, (self.radix, -1))
        # The mean of the sum is the sum of the means: the summed map is never written.
        means = splits.mean((3, 4)).sum(1)[..., None, None]
        scores = self.select(self.fuse(means)).unflatten(1, (self.groups, self.radix, -1))
        shares = scores.softmax(2) if self.radix > 1 else scores.sigmoid()
        return splits, shares.transpose(1, 2).flatten(2, 3)

    def attention_map(self, x: Map) -> Float[Tensor, "b radix c 1 1"]:
        """Each channel's share of each split, in (0, 1); the shares of a channel sum to 1."""
        return self._split(x)[1]

    def forward(self, x: Map) -> Map:
        splits, shares = self._split(x)
        first, *others = zip(splits.unbind(1), shares.unbind(1), strict=True)
        y = first[0] * first[1]
        for split, share in others:
            y = torch.addcmul(y, split, share)
        return y
