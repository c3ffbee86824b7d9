"""Deformable large kernel attention."""

import torch
from torch import nn
from torch.nn import functional as F

from foveal.attention.spatial.lka import decomposed
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.large_kernel import LargeKernelGate


class Deformed(nn.Module):
    """A convolution of each channel alone, whose taps lie where the map says: one plan of k × k
    shifts per position, for all channels. Between positions the map is linear, beyond it zero.

    The taps of a row of the kernel are looked up together, which holds k maps at a time, not k².
    """

    def __init__(self, channels: int, size: int, dilation: int = 1):
        super().__init__()
        self.size, self.dilation, self.reach = size, dilation, dilation * (size // 2)
        self.offset = nn.Conv2d(
            channels, 2 * size * size, size, padding=self.reach, dilation=dilation
        )
        self.weight = nn.Parameter(torch.empty(channels, size, size))
        nn.init.uniform_(self.weight, -1 / size, 1 / size)

    def forward(self, x: Map) -> Map:
        height, width = x.shape[2:]
        # In float32 at least: half precision does not tell neighbouring positions apart.
        wide = torch.promote_types(x.dtype, torch.float32)
        shifts = self.offset(x).to(wide).unflatten(1, (self.size, self.size, 2))
        steps = torch.arange(self.size, device=x.device, dtype=wide) * self.dilation - self.reach
        rows = torch.arange(height, device=x.device, dtype=wide)[:, None]
        columns = torch.arange(width, device=x.device, dtype=wide) + steps[:, None, None]
        source, total = x.to(wide), torch.zeros_like(x)
        for i in range(self.size):
            down = shifts[:, i, :, 0] + (rows + steps[i])
            right = shifts[:, i, :, 1] + columns  # (B, k, H, W)
            # `grid_sample` counts from -1 to 1, from border to border.
            grid = torch.stack(((2 * right + 1) / width, (2 * down + 1) / height), dim=-1) - 1
            seen = F.grid_sample(source, grid.flatten(1, 2), align_corners=False)
            seen = seen.unflatten(2, (self.size, height)).flatten(3).to(x.dtype)  # (B, C, k, N)
            total = total + (self.weight[:, i, None] @ seen).view_as(x)
        return total


@register_attention(
    "dlka", paper="Azad et al., Deformable Large Kernel Attention, WACV 2024", arxiv="2309.00121"
)
class DLKA(LargeKernelGate):
    r"""Gate each value by large kernels whose taps move to where the map bids them.

    $$y = x \odot \mathrm{conv}_{1\times1}\big(\mathrm{ddw}_{7,\,3}(\mathrm{ddw}_{5}\,x)\big),
    \quad (\mathrm{ddw}_{k,\,d}\,x)_p = \sum_{t} w_t \odot x\big(p + d\,t + (f x)_{p,t}\big)$$

    LKA with both of its depthwise convolutions deformable: a convolution f, as wide as the taps
    reach, says for each position and tap t how far it is moved. These f are nearly all of the cost.

    Placed: as the attention of the blocks of D-LKA Net, a U-shaped network that segments medical
    images.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·(2·near_taps² + 2·far_taps² + near_taps + far_taps + C + 1)
    + 2·(near_taps + far_taps) + project·2·C·(C + 1).
    Multiply-adds: (2·near_taps² + 2·far_taps² + 5·(near_taps + far_taps) + near_size + far_size
    + C + 1)·C·H·W + 10·(near_taps + far_taps)·H·W + project·(2·C + 1)·C·H·W.

    Args:
        channels: channels C of the feature map.
        kernel_size: K, the size of the convolution that the two stand for, before taps move.
        dilation: d, the distance between taps of the second.
        project: VAN's whole attention block: a pointwise layer and GELU before, a pointwise layer
            after, and a shortcut around.

    Raises:
        FovealError: if ⌈kernel_size/dilation⌉ is even, or either is not positive.
    """

    def __init__(
        self, channels: int, kernel_size: int = 21, dilation: int = 3, project: bool = False
    ):
        super().__init__(channels, project)
        near, far = self.near_size, self.far_size = decomposed(kernel_size, dilation)
        self.near_taps, self.far_taps = near**2, far**2
        self.near = Deformed(channels, near)
        self.far = Deformed(channels, far, dilation)
        self.mix = nn.Conv2d(channels, channels, 1)

    def weights(self, x: Map) -> Map:
        return self.mix(self.far(self.near(x)))
