"""Multidimensional collaborative attention."""

from math import log2

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map


def adaptive_kernel_size(channels: int, gamma: float = 1.5, b: float = 1) -> int:
    """Neighbours each channel consults: |(log2 C − b) / gamma|, made odd, and at least 1."""
    k = round(abs((log2(channels) - b) / gamma))
    return max(1, k if k % 2 else k - 1)


def _mean_and_deviation(means: Tensor, norms: Tensor, each: int, axis: int) -> tuple[Tensor, ...]:
    """Of all values together, from those of lines of `each` values: their means, and the norms of
    what is left when the mean is taken off. No difference of large squares is formed, and a norm,
    unlike a root, has a gradient at 0."""
    mean = means.mean(axis, keepdim=True)
    between = (means - mean) * each**0.5
    norm = torch.linalg.vector_norm(torch.cat((norms, between), axis), dim=axis)
    return mean.squeeze(axis), norm / max(each * means.shape[axis] - 1, 1) ** 0.5


class _Gate(nn.Module):
    """Weights along one axis from the mean and the standard deviation over the two others."""

    def __init__(self, kernel_size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(2))
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, mean: Tensor, deviation: Tensor) -> Tensor:
        of_mean, of_deviation = 0.5 + self.weight.sigmoid()
        return self.conv((of_mean * mean + of_deviation * deviation)[:, None])[:, 0].sigmoid()


@register_attention(
    "mca_collaborative", paper="Yu et al., Multidimensional Collaborative Attention, EAAI 2023"
)
class CollaborativeAttention(nn.Module):
    r"""Gate by the mean of three weights: the channel's, the row's and the column's.

    $$y = \tfrac13\, x \odot (g_c + g_h + g_w), \quad g_a = \sigma\big(\mathrm{conv}_k\big(
    (\tfrac12 + \sigma(\alpha_a))\,\mu_a + (\tfrac12 + \sigma(\beta_a))\,s_a\big)\big)$$

    $\mu_a$ and $s_a$ are the mean and the standard deviation along axis $a$ over the two others.
    Triplet attention has a weight for each pair of axes, this one for each axis. Where a mean is of
    one value the deviation is 0.

    Placed: after the last convolution of each residual block, before the addition.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 2·kernel_size + 4 + channel·(channel_kernel + 2).
    Multiply-adds: (9 + channel)·C·N + (1 − channel)·N + 7·C·(H + W) + channel·9·C·H
    + (kernel_size + 5)·(H + W) + channel·(channel_kernel + 4)·C.

    Args:
        channels: channels C of the feature map; only the kernel of their gate depends on them.
        kernel_size: neighbours that a row or a column consults, odd.
        channel_kernel_size: neighbours that a channel consults, odd. Default: the paper's rule,
            `adaptive_kernel_size(channels)`.
        channel: have the gate along the channels; without it the mean is of two.

    Raises:
        FovealError: if a kernel size is even.

    Departs: The authors' rule gives 2 channels a kernel of −1; here it is at least 1.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        channel_kernel_size: int | None = None,
        channel: bool = True,
    ):
        super().__init__()
        if channel_kernel_size is None:
            channel_kernel_size = adaptive_kernel_size(channels)
        for k in kernel_size, channel_kernel_size:
            if k < 1 or k % 2 == 0:
                raise FovealError(
                    f"a kernel size of {k} must be odd, so that a gate keeps its size"
                )
        self.kernel_size, self.channel_kernel, self.channel = (
            kernel_size,
            channel_kernel_size,
            channel,
        )
        self.rows, self.columns = _Gate(kernel_size), _Gate(kernel_size)
        self.channel_gate = _Gate(channel_kernel_size) if channel else None

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """The mean of the gates, in (0, 1)."""
        height, width = x.shape[2:]
        means = x.mean(3)  # of rows, (B, C, H)
        norms = torch.linalg.vector_norm(x - means[..., None], dim=3)
        rows = self.rows(*_mean_and_deviation(means, norms, width, 1))[:, None]
        if self.channel_gate is not None:
            rows = rows + self.channel_gate(*_mean_and_deviation(means, norms, width, 2))[..., None]
        means = x.mean(2)  # of columns, (B, C, W)
        norms = torch.linalg.vector_norm(x - means[:, :, None], dim=2)
        columns = self.columns(*_mean_and_deviation(means, norms, height, 1))
        share = 1 / (2 + self.channel)
        return rows[..., None] * share + columns[:, None, None] * share

    def forward(self, x: Map) -> Map:
        return x * self.attention_map(x)
