"""EMO's inverted residual mobile block."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.activation import activation
from foveal.ops.heads import head_count
from foveal.ops.norm import BatchNorm2d
from foveal.ops.strips import crop_strips, pad_strips, strip_length, strip_places
from foveal.ops.width import hidden_width
from foveal.ops.window import is_open, join_grid, pair, split_grid
from foveal.ops.window_attend import attend_windows, from_windows, to_windows, window_weights


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each position of a map."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


@register_attention(
    "irmb",
    paper="Zhang et al., Rethinking Mobile Block for Efficient Attention-based Models, ICCV 2023",
    arxiv="2301.01146",
)
class IRMB(nn.Module):
    r"""Widen the channels, let attention and a depthwise convolution act inside, narrow and add.

    $$y = x + W_P\,\big(z + \mathrm{SiLU}(\mathrm{BN}(\mathrm{dwconv}_k\,z))\big), \quad
    z = \mathrm{GELU}\big(W_V\,\mathrm{softmax}(Q K^\top / \sqrt{d})\,\mathrm{norm}(x)\big)$$

    MobileNet's inverted residual with attention in it: the widening layer serves as the values, and
    one skip connection stands where a transformer has two. Scores are matched in narrow channels,
    so that widening costs attention nothing.

    Placed: as the block that EMO consists of, with attention in its last two stages.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 2·C² + 2·C·qkv_bias + 2·C + hidden·(2·C + qkv_bias + kernel_size² + 2).
    Multiply-adds: ceil(H/rows)·rows·ceil(W/columns)·columns·(2·C² + 2·rows·columns·attended)
    + N·(hidden·(2·C + kernel_size² + 2) + (2 + 3·layer_norm)·C).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: one for 32 channels, or as many as divide them.
        window_size: G, rows and columns of the positions that attend to each other; one number for
            both.
        partition: `"grid"` for positions that lie H/G and W/G apart, `"block"` for neighbours.
        kernel_size: of the depthwise convolution, odd.
        expansion: width inside over C.
        expand_first: attend to the widened values, as the paper draws it, instead of widening what
            was attended to.
        norm: `"layer"` or `"batch"`.
        qkv_bias: give queries, keys and values a bias. The keys' share of it has no effect.
        act: activation of the values, by name.
        attention_dropout: probability of dropping a weight in training.

    Raises:
        FovealError: if the heads do not divide the channels (or, with `expand_first`, the width
            inside), the kernel is even, or the window, partition, norm or activation makes no
            sense.

    Departs: As in the authors' code, windows are grids over the whole map, where the paper speaks
    of local windows (`partition="block"`), and EMO-5M's options are the defaults. Unlike there,
    positions do not attend to the padding of maps that the grid does not divide.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        window_size: int | tuple[int, int] = 7,
        partition: str = "grid",
        kernel_size: int = 5,
        expansion: float = 4.0,
        expand_first: bool = False,
        norm: str = "layer",
        qkv_bias: bool = True,
        act: str = "gelu",
        attention_dropout: float = 0.0,
    ):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise FovealError(f"kernel_size={kernel_size} must be odd, to keep the map's size")
        if partition not in ("grid", "block") or norm not in ("layer", "batch"):
            raise FovealError(
                f"partition={partition!r} must be 'grid' or 'block', norm={norm!r} 'layer' or "
                "'batch'"
            )
        self.num_heads = head_count(channels, num_heads)
        self.window = self.rows, self.columns = pair(window_size)
        self.hidden = hidden_width(channels, 1, hidden=int(expansion * channels))
        if expand_first and self.hidden % self.num_heads:
            raise FovealError(
                f"num_heads={self.num_heads} do not divide the {self.hidden} widened channels"
            )
        self.attended = max(channels, self.hidden) if expand_first else channels
        self.partition, self.kernel_size, self.expand_first = partition, kernel_size, expand_first
        self.layer_norm, self.qkv_bias = norm == "layer", qkv_bias
        self.attention_dropout = attention_dropout
        self.norm = (_ChannelNorm if self.layer_norm else BatchNorm2d)(channels, eps=1e-6)
        self.qk = nn.Linear(channels, 2 * channels, bias=qkv_bias)
        self.value = nn.Sequential(
            nn.Conv2d(channels, self.hidden, 1, bias=qkv_bias), activation(act)
        )
        self.local = nn.Sequential(
            nn.Conv2d(
                self.hidden,
                self.hidden,
                kernel_size,
                padding=kernel_size // 2,
                groups=self.hidden,
                bias=False,
            ),
            BatchNorm2d(self.hidden, eps=1e-6),
            nn.SiLU(),
        )
        self.proj = nn.Conv2d(self.hidden, channels, 1, bias=False)

    def _split(self, x: Map) -> tuple[Tensor, Tensor | None]:
        """The tokens of each window (B, windows, positions, C), and which pairs see each other."""
        if self.partition == "block":
            return to_windows(x, self.window)
        height, width = x.shape[2:]
        tokens = split_grid(pad_strips(x, self.window), self.window)
        free = is_open(height) or is_open(width)
        if not free and not height % self.rows and not width % self.columns:
            return tokens, None
        _, rows = strip_places(height, self.rows, x.device)  # (G, step)
        _, columns = strip_places(width, self.columns, x.device)
        inside = (rows.T[:, None, :, None] & columns.T[None, :, None, :]).flatten(2).flatten(0, 1)
        return tokens, inside[:, :, None] == inside[:, None, :]

    def _join(self, tokens: Tensor, height: int, width: int) -> Map:
        if self.partition == "block":
            return from_windows(tokens, self.window, height, width)
        x = join_grid(tokens, self.window, self.rows * strip_length(height, self.rows))
        return crop_strips(x, self.window, height, width)

    def attention_map(self, x: Map) -> Float[Tensor, "b windows heads n n"]:
        """How much each position of a window takes from each of them, padding included; rows sum
        to 1."""
        tokens, mask = self._split(self.norm(x))
        q, k = self.qk(tokens).chunk(2, -1)
        return window_weights(q, k, self.num_heads, mask=mask)

    def forward(self, x: Map) -> Map:
        given = self.norm(x)
        tokens, mask = self._split(given)
        q, k = self.qk(tokens).chunk(2, -1)
        v = self._split(self.value(given))[0] if self.expand_first else tokens
        dropout = self.attention_dropout if self.training else 0.0
        z = attend_windows(q, k, v, self.num_heads, mask=mask, dropout=dropout)
        z = self._join(z, *x.shape[2:])
        z = z if self.expand_first else self.value(z)
        return x + self.proj(z + self.local(z))
