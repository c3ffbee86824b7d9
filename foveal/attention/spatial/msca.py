"""Multi-scale convolutional attention."""

from collections.abc import Sequence

from torch import nn

from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.large_kernel import LargeKernelGate, depthwise


@register_attention("msca", paper="Guo et al., SegNeXt, NeurIPS 2022", arxiv="2209.08575")
class MSCA(LargeKernelGate):
    r"""Gate each value by a sum of crosses of several sizes, over what a small kernel gathered.

    $$y = x \odot \mathrm{conv}_{1\times1}\Big(u + \sum_{k} \mathrm{dw}_{k\times1}\,
    \mathrm{dw}_{1\times k}\,u\Big), \quad u = \mathrm{dw}_{5\times5}\,x$$

    Each pair of strips stands for a k × k kernel of rank one. LSKA has one such pair and reaches
    far by gaps between its taps; here there are none, and several sizes are added.

    Placed: as the attention of every block of SegNeXt's encoder.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·(local_size² + strip_taps + 2·num_strips + C + 2) + project·2·C·(C + 1).
    Multiply-adds: (local_size² + strip_taps + num_strips + C + 1 + project·(2·C + 1))·C·H·W.

    Args:
        channels: channels C of the feature map.
        kernel_size: k of each pair of strips, odd.
        local_size: size of the kernel that gathers first, odd.
        project: SegNeXt's whole attention: a pointwise layer and GELU before, a pointwise layer
            after, and a shortcut around.

    Raises:
        FovealError: if a size is even.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: Sequence[int] = (7, 11, 21),
        local_size: int = 5,
        project: bool = False,
    ):
        super().__init__(channels, project)
        self.local_size = local_size
        self.num_strips, self.strip_taps = len(kernel_size), 2 * sum(kernel_size)
        self.local = depthwise(channels, local_size)
        self.strips = nn.ModuleList(
            nn.Sequential(depthwise(channels, (1, k)), depthwise(channels, (k, 1)))
            for k in kernel_size
        )
        self.mix = nn.Conv2d(channels, channels, 1)

    def weights(self, x: Map) -> Map:
        local = self.local(x)
        scales = local
        for strip in self.strips:
            scales = scales + strip(local)
        return self.mix(scales)
