"""Efficient multi-scale attention."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.strip_means import strip_means
from foveal.ops.width import fitting_groups


def _window_means(
    rows: Tensor, first: Tensor, last: Tensor, width: int
) -> Float[Tensor, "b c 3 3"]:
    """What each tap of a 3 × 3 convolution with zeros around sees, averaged over the map: from the
    means of the rows and the columns at the sides, for a tap aside misses one edge."""
    height = rows.shape[2]
    seen = torch.stack((rows - last / width, rows, rows - first / width), -1)
    whole = seen.mean(2)  # (B, C, 3)
    return torch.stack((whole - seen[:, :, -1] / height, whole, whole - seen[:, :, 0] / height), 2)


@register_attention("ema_multiscale", paper="Ouyang et al., EMA, ICASSP 2023", arxiv="2305.13563")
class EfficientMultiScaleAttention(nn.Module):
    r"""Gate positions, group by group, by two branches that each weigh the other's channels.

    $$y = x \odot \sigma\big(\mathrm{softmax}(\bar u)^\top v + \mathrm{softmax}(\bar v)^\top u\big),
    \quad u = \mathrm{GN}\big(x \odot \sigma(W \bar x_w) \odot \sigma(W \bar x_h)\big), \quad
    v = \mathrm{conv}_{3\times3}(x)$$

    within each group of channels, all of which share the weights; bars are means over positions,
    rows or columns. Coordinate attention's gate is one branch here, not the result. $v$ is never
    written: the mean of a normalised map is its shift $\beta$, so $v$ is needed in one direction
    alone, and the mean of $v$ follows from the sums of rows and edges.

    Placed: in the residual blocks of ResNet, and in YOLOv5.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 10·group_channels² + 4·group_channels.
    Multiply-adds: 18·C·N + 2·groups·N + C·(H + W)·group_channels
    + 9·C·group_channels + 10·H·C + 30·C.

    Args:
        channels: channels C of the feature map.
        groups: groups that share the weights. Default: the authors' 32, or fewer where groups of
            at least two channels need it.
        eps: of the normalisation.

    Raises:
        FovealError: if the groups do not divide the channels.
    """

    def __init__(self, channels: int, groups: int | None = None, eps: float = 1e-5):
        super().__init__()
        if groups is None:  # a softmax over one channel would always be 1
            groups = fitting_groups(channels, max(1, min(32, channels // 2)))
        if groups < 1 or channels % groups:
            raise FovealError(f"groups={groups} must divide channels={channels}")
        self.groups, self.group_channels, self.eps = groups, channels // groups, eps
        width = self.group_channels
        self.strips = nn.Conv1d(width, width, 1)
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def attention_map(self, x: Map) -> Float[Tensor, "b groups 1 h w"]:
        """One weight per position for each group, in (0, 1)."""
        gate = self._gate(rearrange(x, "b (g c) h w -> (b g) c h w", g=self.groups))
        return rearrange(gate, "(b g) c h w -> b g c h w", g=self.groups)

    def _gate(self, x: Map) -> Map:
        height, width = x.shape[2:]
        rows, columns, first, last = strip_means(x, sides=True)
        strips = self.strips(torch.cat((rows, columns), 2)).sigmoid()
        of_rows, of_columns = strips[..., :height, None], strips[:, :, None, height:]
        normed = torch.group_norm(
            x * of_rows * of_columns, self.group_channels, self.scale, self.shift, self.eps
        )

        windows = _window_means(rows, first, last, width)
        means = torch.einsum("ocij,bcij->bo", self.conv.weight, windows)
        bias: Tensor = self.conv.bias  # pyright: ignore[reportAssignmentType]
        shares = (means + bias).softmax(-1)
        seen = shares[:, None] @ normed.flatten(2)

        shares = self.shift.softmax(0)
        kernel = torch.einsum("o,ocij->cij", shares, self.conv.weight)[None]
        convolved = F.conv2d(x, kernel, shares @ bias[:, None], padding=1)
        return (convolved + seen.view_as(convolved)).sigmoid()

    def forward(self, x: Map) -> Map:
        grouped = rearrange(x, "b (g c) h w -> (b g) c h w", g=self.groups)
        y = grouped * self._gate(grouped)
        return rearrange(y, "(b g) c h w -> b (g c) h w", g=self.groups)
