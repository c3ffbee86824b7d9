"""Large selective kernels."""

from collections.abc import Sequence

import torch
from torch import nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.large_kernel import LargeKernelGate, depthwise
from foveal.ops.width import hidden_width


@register_attention("lsk", paper="Li et al., LSKNet, ICCV 2023", arxiv="2303.09030")
class LSK(LargeKernelGate):
    r"""Gate each value by kernels of growing reach, each position choosing its mix of reaches.

    $$y = x \odot W \sum_i a_i \odot \tilde u_i, \quad
    a = \sigma\big(\mathrm{conv}_{7\times7}[\mathrm{mean}_c\,\tilde u;\ \max\nolimits_c\,
    \tilde u]\big), \quad \tilde u_i = W_i\,u_i, \quad u_i = \mathrm{dw}_i\,u_{i-1}$$

    The kernels stand in a row, u₀ = x, so that each reaches farther than the one before. SK mixes
    kernels per channel; here the mix is one for all channels, and differs from place to place.

    Placed: in the first half of each block of LSKNet, between two pointwise layers.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·(taps + num_kernels) + num_kernels·hidden·(C + 1) + C·(hidden + 1)
    + num_kernels·(2·select_size² + 1) + project·2·C·(C + 1).
    Multiply-adds: (taps + num_kernels·hidden + hidden + 1 + project·(2·C + 1))·C·H·W
    + (3·num_kernels − 1)·hidden·H·W + 2·num_kernels·select_size²·H·W.

    Args:
        channels: channels C of the feature map.
        kernel_size: size of each kernel in the row, odd.
        dilation: distance between its taps.
        reduction: r, by which the maps that are mixed are narrower.
        hidden: their width. Default: C/r, at least 1.
        select_size: size of the convolution that chooses the mix, odd.
        project: LSKNet's whole attention: a pointwise layer and GELU before, a pointwise layer
            after, and a shortcut around.

    Raises:
        FovealError: for a size that is even, no kernels, as many dilations as there are not
            kernels, or a reduction or width below 1.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: Sequence[int] = (5, 7),
        dilation: Sequence[int] = (1, 3),
        reduction: int = 2,
        hidden: int | None = None,
        select_size: int = 7,
        project: bool = False,
    ):
        super().__init__(channels, project)
        if not kernel_size or len(kernel_size) != len(dilation):
            raise FovealError(
                f"kernel_size={kernel_size} and dilation={dilation} must have one number for each "
                "kernel, and at least one"
            )
        if select_size < 1 or select_size % 2 == 0:
            raise FovealError(f"select_size={select_size} must be odd, so that the map keeps size")
        self.num_kernels, self.select_size = len(kernel_size), select_size
        self.taps = sum(k * k for k in kernel_size)
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.kernels = nn.ModuleList(
            depthwise(channels, k, d) for k, d in zip(kernel_size, dilation, strict=True)
        )
        self.squeeze = nn.ModuleList(
            nn.Conv2d(channels, self.hidden, 1) for _ in range(self.num_kernels)
        )
        self.select = nn.Conv2d(2, self.num_kernels, select_size, padding=select_size // 2)
        self.mix = nn.Conv2d(self.hidden, channels, 1)

    def weights(self, x: Map) -> Map:
        narrow = []
        for kernel, squeeze in zip(self.kernels, self.squeeze, strict=True):
            x = kernel(x)
            narrow.append(squeeze(x))
        # Mean and maximum over all channels of all maps, without laying the maps side by side.
        mean, most = narrow[0].mean(1), narrow[0].amax(1)
        for u in narrow[1:]:
            mean, most = mean + u.mean(1), torch.maximum(most, u.amax(1))
        seen = torch.stack((mean / self.num_kernels, most), dim=1)
        shares = self.select(seen).sigmoid()
        mixed = narrow[0] * shares[:, :1]
        for i in range(1, self.num_kernels):
            mixed = torch.addcmul(mixed, narrow[i], shares[:, i : i + 1])
        return self.mix(mixed)
