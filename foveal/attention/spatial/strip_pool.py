"""Strip pooling."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.norm import BatchNorm2d
from foveal.ops.resize import adaptive_means, bilinear
from foveal.ops.width import hidden_width


def _layer(inputs: int, outputs: int, size: int | tuple[int, int], act: bool) -> nn.Sequential:
    height, width = (size, size) if isinstance(size, int) else size
    conv = nn.Conv2d(
        inputs, outputs, (height, width), padding=(height // 2, width // 2), bias=False
    )
    return nn.Sequential(conv, BatchNorm2d(outputs), nn.ReLU() if act else nn.Identity())


@register_attention("strip_pool", paper="Hou et al., Strip Pooling, CVPR 2020", arxiv="2003.13328")
class StripPool(nn.Module):
    r"""Add context from means over rows and columns, and from coarse grids of means.

    $$y = \mathrm{ReLU}(x + W[\,f(z + \textstyle\sum_p \mathrm{up}\,g_p(\mathrm{pool}_{p\times p}
    \,u));\ f'(r(\mathrm{mean}_w v) + c(\mathrm{mean}_h v))\,]), \quad u = W_u x,\ v = W_v x,
    \ z = g_0(u)$$

    f, g, r and c are convolutions of three taps along an axis. Coordinate attention makes gates of
    its rows and columns; here their sum is a map of context, which is added.

    Placed: in the last bottleneck of each stage and in all bottlenecks of the last, after the 3 × 3
    convolution.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 4·C·hidden + 2·C + (33 + 9·num_pools)·hidden² + (14 + 2·num_pools)·hidden.
    Multiply-adds: (4·C·hidden + 27·hidden² + (8 + num_pools)·hidden + 2·C)·H·W
    + hidden·(3·hidden + 1)·(H + W)
    + hidden·(2·bins·H·W + cells·(H + W) + cells·(9·hidden + 1)).

    Args:
        channels: channels C of the feature map.
        pool_size: sides p of the coarse grids.
        reduction: r, by which the maps between the first and the last layer are narrower.
        hidden: their width. Default: C/r, at least 1.
        align_corners: whether the values at the corners of a grid stay there when it is drawn out.

    Raises:
        FovealError: for a grid without cells, or a reduction or width below 1.

    Departs: This is the authors' class `StripPooling`, which the paper calls the mixed pooling
    module, for it has grids beside the strips; the paper's strip pooling alone ends in a gate.
    """

    def __init__(
        self,
        channels: int,
        pool_size: Sequence[int] = (20, 12),
        reduction: int = 4,
        hidden: int | None = None,
        align_corners: bool = True,
    ):
        super().__init__()
        if any(size < 1 for size in pool_size):
            raise FovealError(f"pool_size={pool_size} must be positive")
        width = self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.pool_size, self.align_corners = tuple(pool_size), align_corners
        self.num_pools, self.bins = len(pool_size), sum(pool_size)
        self.cells = sum(p * p for p in pool_size)
        self.enter_grids = _layer(channels, width, 1, act=True)
        self.enter_strips = _layer(channels, width, 1, act=True)
        self.local = _layer(width, width, 3, act=False)
        self.grids = nn.ModuleList(_layer(width, width, 3, act=False) for _ in pool_size)
        self.rows = _layer(width, width, (3, 1), act=False)
        self.columns = _layer(width, width, (1, 3), act=False)
        self.mix_grids = _layer(width, width, 3, act=True)
        self.mix_strips = _layer(width, width, 3, act=True)
        self.leave = _layer(2 * width, channels, 1, act=False)

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """What is added to each value, in (-∞, ∞)."""
        u, v = self.enter_grids(x), self.enter_strips(x)
        near = self.local(u)
        for size, grid in zip(self.pool_size, self.grids, strict=True):
            coarse = grid(adaptive_means(u, size, size))
            near = near + bilinear(coarse, x.shape[2], x.shape[3], self.align_corners)
        rows, columns = self.rows(v.mean(3, keepdim=True)), self.columns(v.mean(2, keepdim=True))
        near, far = self.mix_grids(near.relu()), self.mix_strips((rows + columns).relu())
        return self.leave(torch.cat((near, far), dim=1))

    def forward(self, x: Map) -> Map:
        return (x + self.attention_map(x)).relu()
