"""Mixed local channel attention."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.attention.channel.eca import adaptive_kernel_size
from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.resize import adaptive_means


@register_attention("mlca", paper="Wan et al., Mixed Local Channel Attention, EAAI 2023")
class MLCA(nn.Module):
    r"""Gate each channel, cell by cell of a coarse grid, by a short convolution over channel means.

    $$y = x \odot \mathrm{unpool}\big(\lambda\,\sigma(\mathrm{conv}_k\,m)
    + (1 - \lambda)\,\sigma(\mathrm{conv}'_k\,\mathrm{mean}\,m)\big), \quad
    m = \mathrm{pool}_{L\times L}\,x$$

    ECA once for the whole map and once for each cell of a grid, mixed. The channels of all cells
    stand in one row for the convolution, so that the last channels of a cell are neighbours of the
    first of the next.

    Placed: in the MobileNet backbone of a YOLO detector.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 2·kernel_size.
    Multiply-adds: (2·local_size + 1)·C·H·W + local_size²·C·(H + W)
    + (kernel_size + 3)·local_size²·C + (kernel_size + 1)·C.

    Args:
        channels: channels C of the feature map.
        local_size: L, cells along each side of the grid. A map with fewer positions is covered by
            cells that share them.
        kernel_size: neighbours k, odd. Default: ECA's rule.
        local_weight: λ, the share of the cells' own weights in the mix.

    Raises:
        FovealError: if `kernel_size` is even, there are no cells, or the share is not in [0, 1].
    """

    def __init__(
        self,
        channels: int,
        local_size: int = 5,
        kernel_size: int | None = None,
        local_weight: float = 0.5,
    ):
        super().__init__()
        k = adaptive_kernel_size(channels) if kernel_size is None else kernel_size
        if k < 1 or k % 2 == 0:
            raise FovealError(
                f"kernel_size={k} must be odd, so that a channel stands in the middle"
            )
        if local_size < 1:
            raise FovealError(f"local_size={local_size} must be at least 1")
        if not 0 <= local_weight <= 1:
            raise FovealError(f"local_weight={local_weight} must be a share, from 0 to 1")
        self.kernel_size, self.local_size, self.local_weight = k, local_size, local_weight
        self.of_map = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)
        self.of_cells = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """One weight per value, in (0, 1)."""
        means = adaptive_means(x, self.local_size, self.local_size).flatten(2)  # (B, C, L²)
        cells = self.of_cells(means.mT.flatten(1)[:, None])  # channels of a cell side by side
        cells = cells.view(means.shape[0], -1, means.shape[1]).mT.sigmoid()
        whole = self.of_map(means.mean(2)[:, None]).mT.sigmoid()  # (B, C, 1)
        mixed = self.local_weight * cells + (1 - self.local_weight) * whole
        grid = mixed.unflatten(2, (self.local_size, self.local_size))
        return adaptive_means(grid, *x.shape[2:])

    def forward(self, x: Map) -> Map:
        return x * self.attention_map(x)
