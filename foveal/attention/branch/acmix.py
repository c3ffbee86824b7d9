"""Self-attention and convolution from the same projections."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.heads import heads_for
from foveal.ops.neighbours import check_odd, score_neighbours, weigh_neighbours


def reflect_pad(x: Tensor, edge: int) -> Tensor:
    """The map (B, C, H, W) mirrored about its edges, again and again if it is narrower than the
    edge; a single row or column is repeated."""
    if edge < min(x.shape[2:]):
        return F.pad(x, (edge,) * 4, mode="reflect")
    for axis in (2, 3):
        last = x.shape[axis] - 1
        steps = torch.arange(-edge, last + edge + 1, device=x.device) % max(2 * last, 1)
        x = x.index_select(axis, last - (last - steps).abs())
    return x


@register_attention("acmix", paper="Pan et al., On the Integration of Self-Attention and "
                    "Convolution, CVPR 2022", arxiv="2111.14556")  # fmt: skip
class ACmix(nn.Module):
    r"""Add a convolution to attention over neighbours, both made of the same three projections.

    $$y = \alpha \sum_{t} \mathrm{softmax}_t\big(d^{-1/2}\, q_i^\top (k_{i+t} - W_P\,p_{i+t})\big)
    \, v_{i+t} + \beta\,\mathrm{conv}\big(F\,[q; k; v]\big), \quad
    [q; k; v] = W x + b, \quad p_i = (x_i, y_i) \in [-1, 1]^2$$

    A layer F mixes the 3·heads maps at each place within a head into k² ones, which a convolution
    (born as k² shifts) moves and sums. The two are computed as the one convolution that they
    amount to, and the maps between them never written. Positions that a neighbourhood reaches
    beyond the edge mirror those inside.

    Placed: in place of the 3 × 3 convolutions of ResNet, or of the attention in SAN, PVT and Swin.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 3·C² + 3·C + 2·head_channels + 3·num_heads·taps + C·taps² + 2.
    Multiply-adds: N·C·(3·C + 3·num_heads·taps + 3·kernel_size² + 3) + N·head_channels
    + 2·N·num_heads·kernel_size² + 3·num_heads·taps·C·(taps + 1) + 3·head_channels·(H + W).

    Args:
        channels: channels C of the feature map.
        kernel_size: width of the neighbourhood that attention sees, odd.
        num_heads: heads of the attention. Default: the paper's 4, or the most below it that divide
            the channels.
        conv_kernel_size: width of the convolution, odd.

    Raises:
        FovealError: if the channels do not divide into the heads, or a width is even.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 7,
        num_heads: int | None = None,
        conv_kernel_size: int = 3,
    ):
        super().__init__()
        check_odd(kernel_size)
        if conv_kernel_size < 1 or conv_kernel_size % 2 == 0:
            raise FovealError(f"conv_kernel_size={conv_kernel_size} must be odd")
        self.kernel_size, self.conv_kernel_size = kernel_size, conv_kernel_size
        self.num_heads = heads_for(channels, num_heads, usual=4)
        self.head_channels = channels // self.num_heads
        self.taps = conv_kernel_size**2
        # Its outputs are ordered by place within the head, then by role, then by head.
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.position = nn.Linear(2, self.head_channels, bias=False)
        self.mix = nn.Linear(3 * self.num_heads, self.taps, bias=False)
        shifts = torch.eye(self.taps).view(self.taps, conv_kernel_size, conv_kernel_size)
        self.shift = nn.Parameter(shifts.repeat(channels, 1, 1, 1))
        self.rates = nn.Parameter(torch.full((2,), 0.5))

    def _positions(self, x: Map) -> Float[Tensor, "d h w"]:
        """Rows and columns from −1 to 1, projected to the width of a head."""
        by_column, by_row = self.position.weight.unbind(1)

        def line(size: int) -> Tensor:
            steps = torch.arange(size, device=x.device, dtype=by_row.dtype)
            return 2 * steps / steps[-1:].clamp(min=1) - 1

        rows, columns = (line(size) for size in x.shape[2:])
        return (by_row[:, None] * rows)[:, :, None] + (by_column[:, None] * columns)[:, None]

    def _weights(self, x: Map, qkv: Tensor) -> Float[Tensor, "b heads k h w"]:
        q, k, _ = self._roles(qkv)
        # A query's own position would add the same to all its scores, and the softmax cancel it.
        k = k - self._positions(x).to(k.dtype)[:, None]
        k = reflect_pad(k.flatten(1, 2), self.kernel_size // 2)
        k = k.unflatten(1, (self.head_channels, self.num_heads)).transpose(1, 2)
        q = q.transpose(1, 2) * self.head_channels**-0.5
        return score_neighbours(q, k, self.kernel_size, padded=True).softmax(2)

    def _roles(self, qkv: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values, each (B, d, heads, H, W)."""
        return qkv.unflatten(1, (self.head_channels, 3, self.num_heads)).unbind(2)

    def attention_map(self, x: Map) -> Float[Tensor, "b heads h w k"]:
        """How much each position takes from each of its neighbours, row by row; sums to 1."""
        return self._weights(x, self.qkv(x)).permute(0, 1, 3, 4, 2)

    def forward(self, x: Map) -> Map:
        qkv = self.qkv(x)
        weights = self._weights(x, qkv)
        v = reflect_pad(self._roles(qkv)[2].flatten(1, 2), self.kernel_size // 2)
        v = v.unflatten(1, (self.head_channels, self.num_heads)).transpose(1, 2)
        taken = weigh_neighbours(v, weights.unsqueeze(2), self.kernel_size, padded=True)
        kernel = torch.einsum("otrs,tp->oprs", self.shift, self.mix.weight) * self.rates[1]
        padding = self.conv_kernel_size // 2
        moved = F.conv2d(qkv, kernel, padding=padding, groups=self.head_channels)
        return torch.addcmul(moved, taken.flatten(1, 2), self.rates[0])
