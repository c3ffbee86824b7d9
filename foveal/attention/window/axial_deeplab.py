"""Position-sensitive axial attention."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.norm import BatchNorm1d, BatchNorm2d
from foveal.ops.width import fitting_groups


@register_attention(
    "axial_deeplab", paper="Wang et al., Axial-DeepLab, ECCV 2020", arxiv="2003.07853"
)
class AxialDeepLab(nn.Module):
    r"""Attend along columns, then rows, with learned vectors for the distance of two positions.

    $$y_i = \sum_j \mathrm{softmax}_j\big(q_i^\top k_j + q_i^\top r^q_{i-j} + k_j^\top r^k_{j-i}
    \big)\,(v_j + r^v_{i-j}), \quad q, k, v = \mathrm{BN}(W x)$$

    Every term is batch-normalised before it is added. Plain axial attention does not know where on
    the axis a position lies; here queries, keys and values all do.

    Placed: in place of the 3 × 3 convolution of ResNet's bottlenecks.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: num_axes·(qkv_width·(C + 2) + 3·num_heads + 4·C
    + position_width·(2·kernel_size − 1)).
    Multiply-adds: num_axes·N·(qkv_width·(C + 1) + 3·C) + (H·along_height + W·along_width)·N
    ·(num_heads·(3·key_channels + 7) + 2·C)
    + (along_height·(2·H − 1) + along_width·(2·W − 1))·(2·kernel_size − 1)·(position_width + 2).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: 8, or fewer where 8 does not divide the channels into heads of
            two or more.
        kernel_size: positions on an axis for which distances have vectors of their own; on an axis
            of another length these are stretched or squeezed, by linear interpolation.
        axes: along which axes, one after the other: `"height"`, `"width"` or both.

    Raises:
        FovealError: if the heads do not divide the channels, there is no axis or an unknown one, or
            `kernel_size` is below 1.

    Departs: The authors' table of vectors fits one length of axis only. The biases of the
    normalised scores, which the softmax cancels, are left out.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        kernel_size: int = 56,
        axes: Sequence[str] = ("height", "width"),
    ):
        super().__init__()
        if num_heads is None:
            num_heads = fitting_groups(channels, max(1, min(8, channels // 2)))
        if num_heads < 1 or channels % num_heads or kernel_size < 1:
            raise FovealError(
                f"channels={channels} must divide into num_heads={num_heads}, and "
                f"kernel_size={kernel_size} be at least 1"
            )
        if not axes or isinstance(axes, str) or set(axes) - {"height", "width"}:
            raise FovealError(f"axes={axes!r} must be a sequence of 'height', 'width' or both")
        self.num_axes, self.num_heads, self.kernel_size = len(axes), num_heads, kernel_size
        self.along_height, self.along_width = (list(axes).count(a) for a in ("height", "width"))
        layers = [_AlongAxis(channels, num_heads, kernel_size, axis) for axis in axes]
        self.layers = nn.Sequential(*layers)
        self.key_channels, self.position_width = layers[0].widths[0], sum(layers[0].widths)
        self.qkv_width = num_heads * self.position_width

    def attention_map(self, x: Map, layer: int = 0) -> Float[Tensor, "lines heads n n"]:
        """How much each position takes from each of its line along the first axis, or of another
        `layer`; rows sum to 1."""
        return self.layers[layer].weights(self.layers[:layer](x))  # pyright: ignore

    def forward(self, x: Map) -> Map:
        return self.layers(x)


class _AlongAxis(nn.Module):
    """Position-sensitive attention along one axis."""

    def __init__(self, channels: int, num_heads: int, kernel_size: int, axis: str):
        super().__init__()
        value = channels // num_heads
        self.widths = [max(1, value // 2)] * 2 + [value]
        self.num_heads, self.axis, self.kernel_size = num_heads, axis, kernel_size
        width = num_heads * sum(self.widths)
        projection = nn.Conv2d(channels, width, 1, bias=False)
        nn.init.normal_(projection.weight, std=channels**-0.5)
        self.qkv = nn.Sequential(projection, BatchNorm2d(width))
        table = torch.randn(sum(self.widths), 2 * kernel_size - 1) * value**-0.5
        self.position = nn.Parameter(table)
        self.score_norms = nn.ModuleList(BatchNorm2d(num_heads) for _ in range(3))
        for norm in self.score_norms:
            norm.register_parameter("bias", None)
        self.value_norm, self.position_norm = BatchNorm1d(channels), BatchNorm1d(channels)

    def _positions(self, length: int) -> Float[Tensor, "d n n"]:
        """The vector for the distance i − j, at [:, i, j]."""
        here = torch.arange(length, device=self.position.device)
        distance = torch.arange(2 * length - 1, device=here.device) - (length - 1)
        last = self.kernel_size - 1
        # The longest distance on this axis is the longest that the table knows.
        place = distance.to(self.position.dtype) * (last / max(length - 1, 1)) + last
        steps = torch.arange(2 * last + 1, device=here.device)
        linear = (1 - (place[:, None] - steps).abs()).clamp(min=0)  # (2n − 1, 2k − 1)
        table = self.position @ linear.mT.to(self.position.dtype)
        return table[:, here[:, None] - here + (length - 1)]

    def _heads(self, x: Map) -> list[Tensor]:
        """Queries, keys and values of every line along the axis: (lines, heads, width, n)."""
        order = (0, 3, 1, 2) if self.axis == "height" else (0, 2, 1, 3)
        lines = self.qkv(x).permute(order).flatten(0, 1)
        return list(lines.unflatten(1, (self.num_heads, -1)).split(self.widths, dim=2))

    def _weights(self, q: Tensor, k: Tensor, positions: list[Tensor]) -> Tensor:
        of_query, of_key, _ = positions
        scores = (
            q.mT @ k,
            torch.einsum("bhci,cij->bhij", q, of_query),
            torch.einsum("bhcj,cji->bhij", k, of_key),
        )
        first, second, third = map(_apply, self.score_norms, scores)
        return (first + second + third).softmax(-1)

    def weights(self, x: Map) -> Tensor:
        q, k, _ = self._heads(x)
        return self._weights(q, k, list(self._positions(q.shape[-1]).split(self.widths)))

    def forward(self, x: Map) -> Map:
        q, k, v = self._heads(x)
        positions = list(self._positions(q.shape[-1]).split(self.widths))
        weights = self._weights(q, k, positions)
        found = (v @ weights.mT).flatten(1, 2)  # (lines, C, n)
        placed = torch.einsum("bhij,cij->bhci", weights, positions[2]).flatten(1, 2)
        y = self.value_norm(found) + self.position_norm(placed)
        if self.axis == "height":
            return y.unflatten(0, (-1, x.shape[3])).permute(0, 2, 3, 1)
        return y.unflatten(0, (-1, x.shape[2])).permute(0, 2, 1, 3)


def _apply(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x)
