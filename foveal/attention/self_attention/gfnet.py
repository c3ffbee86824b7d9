"""Global filter of GFNet."""

from math import pi

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.window import Size, is_open, pair


def circular_weights(size: int, steps: int, like: Tensor) -> Float[Tensor, "size steps"]:
    """A matrix that interpolates what stands on a circle in so many steps, to so many others."""
    places = torch.arange(size, device=like.device).to(like.dtype)[:, None]
    places = places * steps / (places[-1:] + 1)
    apart = (places - torch.arange(steps, device=like.device)).abs()
    near = (1 - torch.minimum(apart, steps - apart)).clamp(min=0)
    return near / near.sum(1, keepdim=True)


def line_weights(size: int, steps: int, like: Tensor) -> Float[Tensor, "size steps"]:
    """A matrix that interpolates what stands on a line in so many steps, its ends kept."""
    places = torch.arange(size, device=like.device).to(like.dtype)[:, None]
    places = places / places[-1:].clamp(min=1) * (steps - 1)
    return (1 - (places - torch.arange(steps, device=like.device)).abs()).clamp(min=0)


def waves(frequencies: int, size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines of 2π m n / size, for the first frequencies m and all places n; the product
    is reduced first, so that large ones lose no digits."""
    m = torch.arange(frequencies, device=like.device)[:, None]
    n = torch.arange(size, device=like.device)
    count = n[-1:] + 1  # the size as a tensor, which exporters divide by more readily
    angles = (m * n).remainder(count).to(like.dtype) * (2 * pi) / count
    return angles.cos(), angles.sin()


@register_attention(
    "gfnet",
    paper="Rao et al., Global Filter Networks for Image Classification, NeurIPS 2021",
    arxiv="2107.00645",
)
class GFNet(nn.Module):
    r"""Strengthen or weaken each spatial frequency of each channel by a learned complex number.

    $$y = \mathcal{F}^{-1}\big(K \odot \mathcal{F}(x)\big)$$

    The product of spectra is a circular convolution as large as the map: every position takes from
    every other, by weights that depend on how they lie to each other and not on what is there. The
    Fourier transforms cost N log N. The filter is learned for one size of map; for another its
    frequencies, as parts of the highest, are interpolated.

    Placed: in place of self-attention in every block, before the perceptron.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 2·C·rows·frequencies.
    Multiply-adds: 2.5·C·N·log2(N) + C·H·(W // 2 + 1)
    + (2·C·H·frequencies·(rows + W // 2 + 1) + 5·H·rows + W·frequencies)·min(1, max(H − rows,
    rows − H, W // 2 + 1 − frequencies, frequencies − W // 2 − 1)).

    Args:
        channels: channels C of the feature map.
        table_size: height and width of the map that the filter is learned for.

    Raises:
        FovealError: if the size is below 1.

    Departs: For other sizes the paper stretches the filter as if it were an image. Here rows of
    frequencies lie on a circle, as the transform has them, so that each keeps its mirror image.
    """

    def __init__(self, channels: int, table_size: int | Size = 14):
        super().__init__()
        self.rows, columns = pair(table_size, "table_size")
        self.frequencies = columns // 2 + 1  # the other half mirrors it, for the map is real
        self.weight = nn.Parameter(0.02 * torch.randn(2, channels, self.rows, self.frequencies))

    def attention_map(self, x: Map) -> Float[Tensor, "2 c h f"]:
        """The filter for maps of this size, in (-∞, ∞): the real and the imaginary part of each
        frequency's factor. Its length over the first axis is the gain."""
        height, width = x.shape[2:]
        wide = torch.promote_types(x.dtype, torch.float32)
        weight = self.weight.to(wide)
        half = width // 2 + 1
        if is_open(height) or is_open(half) or (height, half) != (self.rows, self.frequencies):
            weight = circular_weights(height, self.rows, weight) @ weight
            weight = weight @ line_weights(half, self.frequencies, weight).T
        return weight.to(wide)  # also where an autocast has multiplied in less

    def forward(self, x: Map) -> Map:
        real, imaginary = self.attention_map(x)
        wide = x.to(real.dtype)  # half-precision transforms exist on few devices and sizes
        transform = self._by_products if torch.compiler.is_exporting() else self._fast
        return transform(wide, real, imaginary).to(x.dtype)

    def _fast(self, x: Map, real: Tensor, imaginary: Tensor) -> Map:
        spectrum = torch.fft.rfft2(x, norm="ortho") * torch.complex(real, imaginary)
        return torch.fft.irfft2(spectrum, s=x.shape[2:], norm="ortho")

    def _by_products(self, x: Map, real: Tensor, imaginary: Tensor) -> Map:
        """The same by products with cosines and sines, for exporters that know no complex numbers:
        N (H + W) in place of N log N."""
        height, width = x.shape[2:]
        half = width // 2 + 1
        (c, s), (e, f) = waves(half, width, x), waves(height, height, x)
        a, b = x @ c.T, -(x @ s.T)  # along the rows
        a, b = e @ a + f @ b, e @ b - f @ a  # down the columns
        a, b = a * real - b * imaginary, a * imaginary + b * real
        a, b = e @ a - f @ b, e @ b + f @ a  # and back
        m = torch.arange(half, device=x.device)
        alone = (m == 0) | (m + m == torch.arange(width, device=x.device)[-1:] + 1)
        times = torch.where(alone, 1.0, 2.0).to(x.dtype)  # 2 for those that have a mirror image
        y = (a * times) @ c - (b * times) @ s
        return y / torch.ones_like(y[0, 0]).sum()
