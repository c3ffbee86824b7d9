"""Shuffle attention."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.width import fitting_groups


@register_attention("shuffle", paper="Zhang and Yang, SA-Net, ICASSP 2021", arxiv="2102.00240")
class ShuffleAttention(nn.Module):
    r"""Gate half of each group of channels by means, the other half value by value, and shuffle.

    $$y = \mathrm{shuffle}\big[x_1 \odot \sigma(w_1\,\mathrm{mean}_{hw}\,x_1 + b_1),\;
    x_2 \odot \sigma(w_2\,\mathrm{GN}(x_2) + b_2)\big]$$

    Both gates are lines, the same for all groups, so that C = 512 in 64 groups have 24 parameters.
    The shuffle lays the first half of all channels between the second, lest the groups never meet.

    Placed: after the last batch normalisation of each bottleneck, before the addition.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 6·group_channels.
    Multiply-adds: 3.5·C·H·W + C + 3·group_channels.

    Args:
        channels: channels C of the feature map, an even number.
        groups: groups, each gated by itself. Default: the paper's 64, or fewer that divide the
            channels into groups of at least 4.

    Raises:
        FovealError: if the channels are not even, or 2 · `groups` does not divide them.
    """

    def __init__(self, channels: int, groups: int | None = None):
        super().__init__()
        if channels % 2:
            raise FovealError(f"channels={channels} must be even, for each half has a gate")
        if groups is None:
            groups = fitting_groups(channels // 2, max(1, min(64, channels // 4)))
        if groups < 1 or channels % (2 * groups):
            raise FovealError(
                f"groups={groups} must divide the {channels} channels into groups of even size"
            )
        self.groups, self.group_channels = groups, channels // (2 * groups)
        width = self.group_channels
        self.channel_weight = nn.Parameter(torch.zeros(width))
        self.channel_bias = nn.Parameter(torch.ones(width))
        self.spatial_weight = nn.Parameter(torch.zeros(width))
        self.spatial_bias = nn.Parameter(torch.ones(width))
        self.norm = nn.GroupNorm(width, width)

    def _halves(self, x: Map) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Both halves of the groups (B, G, D, H, W), and the weights of each."""
        first, second = x.unflatten(1, (self.groups, 2, -1)).unbind(2)
        line = self.channel_weight * first.mean((3, 4)) + self.channel_bias
        norm, width = self.norm, self.group_channels
        # The line after the normalisation goes into its scale and shift.
        scale = norm.weight * self.spatial_weight
        shift = norm.bias * self.spatial_weight + self.spatial_bias
        second = second.flatten(0, 1).contiguous()
        scores = torch.group_norm(second, width, scale, shift, norm.eps).sigmoid_()
        second, scores = (part.view(first.shape) for part in (second, scores))
        return first, line.sigmoid()[..., None, None], second, scores

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """One weight per value, in (0, 1), in the order of the input's channels."""
        _, by_channel, second, by_value = self._halves(x)
        return torch.stack((by_channel.expand_as(second), by_value), dim=2).flatten(1, 3)

    def forward(self, x: Map) -> Map:
        first, by_channel, second, by_value = self._halves(x)
        halves = first * by_channel, second * by_value
        del second, by_value  # as large as a half each
        if self.groups % 2:
            gated = torch.stack(halves, dim=2).flatten(1, 3)
            return rearrange(gated, "b (half c) h w -> b (c half) h w", half=2)
        # An even number of groups goes to its shuffled place in one copy.
        spread = [rearrange(p, "b (half g) d h w -> b g d half h w", half=2) for p in halves]
        return torch.stack(spread, dim=2).flatten(1, 4)
