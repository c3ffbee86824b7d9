"""Selective kernel convolution."""

from collections.abc import Sequence
from math import gcd

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.activation import activation
from foveal.ops.norm import BatchNorm1d, BatchNorm2d
from foveal.ops.width import hidden_width


@register_attention(
    "sk", paper="Li et al., Selective Kernel Networks, CVPR 2019", arxiv="1903.06586"
)
class SK(nn.Module):
    r"""Mix convolutions of several sizes, each channel choosing its mix from the whole image.

    $$y = \sum_m a_m \odot u_m, \quad a = \mathrm{softmax}_m\big(W_m\,\mathrm{ReLU}(\mathrm{BN}(
    W \textstyle\sum_m \mathrm{mean}_{hw}\,u_m))\big), \quad u_m = \mathrm{conv}_m(x)$$

    Placed: in place of the 3 × 3 convolution of ResNet's bottlenecks.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: taps·C + num_paths·2·C + C·hidden·(1 + num_paths) + 2·hidden.
    Multiply-adds: (taps + 3·num_paths)·C·H·W + C·hidden·(1 + num_paths) + hidden
    + (3·num_paths − 1)·C.

    Args:
        channels: channels C of the feature map.
        kernel_size: size of each path's convolution, odd; as many paths as sizes.
        dilation: distance between taps in each path. The default, with the default sizes, is the
            paper's 3×3 and its 5×5 made of 3×3 taps.
        groups: of the convolutions, one number or one for each path. Default: the paper's 32, or
            where that does not divide the channels the largest number that divides both.
        reduction: r, by which the hidden layer is narrower.
        min_hidden: L, the least width of the hidden layer.
        hidden: width of the hidden layer. Default: C/r, at least `min_hidden`.
        split_input: give each path its own share of the channels to read, as timm does.
        act: activation of the paths, by name.

    Raises:
        FovealError: for sizes that are even or do not match in number, groups or a split that do
            not divide the channels, an unknown activation, or a reduction or width below 1.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: Sequence[int] = (3, 3),
        dilation: Sequence[int] | None = None,
        groups: int | Sequence[int] | None = None,
        reduction: int = 16,
        min_hidden: int = 32,
        hidden: int | None = None,
        split_input: bool = False,
        act: str = "relu",
    ):
        super().__init__()
        paths = len(kernel_size)
        if dilation is None:
            dilation = (1, 2) if tuple(kernel_size) == (3, 3) else (1,) * paths
        if split_input and channels % paths:
            raise FovealError(f"split_input: channels={channels} do not divide into {paths} paths")
        read = channels // paths if split_input else channels
        groups = gcd(read, 32) if groups is None else groups
        groups = (groups,) * paths if isinstance(groups, int) else groups
        if not paths or not paths == len(dilation) == len(groups):
            raise FovealError(
                f"kernel_size={kernel_size}, dilation={dilation} and groups={groups} "
                "must have one number for each path, and at least one path"
            )
        for g in groups:
            if g < 1 or read % g or channels % g:
                raise FovealError(f"groups={g} must divide the {read} channels that a path reads")
        if any(k < 1 or k % 2 == 0 for k in kernel_size) or min(dilation) < 1:
            raise FovealError(
                f"kernel_size={kernel_size} must be odd, dilation={dilation} positive"
            )
        self.num_paths, self.split_input = paths, split_input
        self.hidden = hidden_width(channels, reduction, least=min_hidden, hidden=hidden)
        self.taps = sum(k * k * (read // g) for k, g in zip(kernel_size, groups, strict=True))
        self.paths = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(
                    read, channels, k, padding=d * (k // 2), dilation=d, groups=g, bias=False
                ),
                BatchNorm2d(channels),
                activation(act),
            )
            for k, d, g in zip(kernel_size, dilation, groups, strict=True)
        )
        self.fuse = nn.Sequential(
            nn.Linear(channels, self.hidden, bias=False), BatchNorm1d(self.hidden), nn.ReLU()
        )
        self.select = nn.Linear(self.hidden, paths * channels, bias=False)

    def _mix(self, x: Map) -> tuple[list[Tensor], Tensor]:
        inputs = x.chunk(self.num_paths, 1) if self.split_input else (x,) * self.num_paths
        maps = [path(part) for path, part in zip(self.paths, inputs, strict=True)]
        # The mean of the sum is the sum of the means: the summed map is never written.
        means = [u.mean((2, 3)) for u in maps]
        scores = self.select(self.fuse(sum(means[1:], means[0])))
        return maps, scores.unflatten(1, (self.num_paths, -1)).softmax(1)[..., None, None]

    def attention_map(self, x: Map) -> Float[Tensor, "b m c 1 1"]:
        """Each channel's share of each path; the shares of a channel sum to 1."""
        return self._mix(x)[1]

    def forward(self, x: Map) -> Map:
        maps, shares = self._mix(x)
        y = maps[0] * shares[:, 0]
        for path in range(1, self.num_paths):
            y = torch.addcmul(y, maps[path], shares[:, path])
        return y
