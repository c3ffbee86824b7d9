"""Attention in a grid over the whole map."""

from torch import Tensor

from foveal.attention.window.swin import Swin
from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.strips import crop_strips, pad_strips, strip_length, strip_places
from foveal.ops.window import Size, is_open, join_grid, split_grid


@register_attention("maxvit_grid", paper="Tu et al., MaxViT: Multi-Axis Vision Transformer, "
                    "ECCV 2022", arxiv="2204.01697")  # fmt: skip
class MaxViTGrid(Swin):
    r"""Let each position attend to those of a coarse grid laid over the whole map.

    $$y = \mathrm{softmax}\big(q k^\top / \sqrt{d} + b_{i-j}\big)\, v W_O
    \quad \text{in each grid}\ \{(a H/G + r,\ b W/G + s) : 0 \le a, b < G\}$$

    Where a window holds neighbours, a grid of G × G holds positions that lie H/G and W/G apart: one
    layer reaches across the map at the price of windows of the same size. MaxViT lets the two take
    turns, windows first (`partition="block"`).

    Placed: in each MaxViT block, after an inverted residual block and attention in windows.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 4·C² + C + 3·qkv_bias·C + relative_bias·num_heads·(2·rows − 1)·(2·columns − 1).
    Multiply-adds: ceil(H / rows)·rows·ceil(W / columns)·columns·(4·C² + 2·C·rows·columns).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the paper's, one for 32 channels, or as many as divide them.
        window_size: G, rows and columns of the grid, or of the block; one number for both.
        partition: `"grid"`, or `"block"` for windows of neighbours.
        qkv_bias: give queries, keys and values a bias.
        relative_bias: add a learned number for each head and relative position in the grid.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if the heads do not divide the channels, the grid is no size, or the partition
            is neither of the two.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        window_size: int | Size = 7,
        partition: str = "grid",
        qkv_bias: bool = True,
        relative_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__(
            channels,
            num_heads,
            window_size,
            qkv_bias=qkv_bias,
            relative_bias=relative_bias,
            attention_dropout=attention_dropout,
            dropout=dropout,
        )
        if partition not in ("grid", "block"):
            raise FovealError(f"partition={partition!r} must be 'grid' or 'block'")
        self.partition = partition

    def forward(self, x: Map) -> Map:
        return super().forward(x)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.partition == "block":
            return super()._split(x)
        return split_grid(pad_strips(x, self.window), self.window), self._mask(x)

    def _join(self, tokens: Tensor, height: int, width: int) -> Tensor:
        if self.partition == "block":
            return super()._join(tokens, height, width)
        x = join_grid(tokens, self.window, self.rows * strip_length(height, self.rows))
        return crop_strips(x, self.window, height, width)

    def _mask(self, x: Tensor) -> Tensor | None:
        """Positions and padding do not see each other."""
        height, width = x.shape[2:]
        free = is_open(height) or is_open(width)
        if not free and not height % self.rows and not width % self.columns:
            return None
        _, rows = strip_places(height, self.rows, x.device)  # (G, step)
        _, columns = strip_places(width, self.columns, x.device)
        inside = rows.T[:, None, :, None] & columns.T[None, :, None, :]
        inside = inside.flatten(2).flatten(0, 1)
        return inside[:, :, None] == inside[:, None, :]
