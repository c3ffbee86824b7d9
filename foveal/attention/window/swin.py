"""Attention in windows, shifted or not."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.heads import head_count
from foveal.ops.relative import RelativeBias
from foveal.ops.window import Size, pair
from foveal.ops.window_attend import attend_windows, from_windows, to_windows, window_weights


@register_attention("swin", paper="Liu et al., Swin Transformer, ICCV 2021", arxiv="2103.14030")
class Swin(nn.Module):
    r"""Let each position attend to those of its window, on a grid of windows that may be shifted.

    $$y = \mathrm{softmax}\big(q k^\top / \sqrt{d} + b_{i-j}\big)\, v W_O
    \quad \text{in each window}$$

    The bias b is learned, for each head and relative position. A network alternates windows that
    are not shifted with windows shifted by half a window, so that neighbours across a border meet
    in the next layer. A shifted map is rolled round, which leaves the number of windows as it is;
    pairs that only the roll has brought together do not see each other, and nor does anyone see
    the padding of a map that the windows do not divide.

    Placed: in every block of Swin, before the perceptron; every second one is shifted.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 4·C² + C + 3·qkv_bias·C + relative_bias·num_heads·(2·rows − 1)·(2·columns − 1).
    Multiply-adds: ceil(H / rows)·rows·ceil(W / columns)·columns·(4·C² + 2·C·rows·columns).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the paper's, one for 32 channels, or as many as divide them.
        window_size: height and width of a window, or one number for both.
        shift_size: how far the windows are shifted; along an axis that lies in one window not at
            all. The paper's is half a window, in every second layer.
        qkv_bias: give queries, keys and values a bias.
        relative_bias: add the bias by relative position.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if the heads do not divide the channels, the window is no size, or the shift
            not smaller than it.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        window_size: int | Size = 7,
        shift_size: int | Size = 0,
        qkv_bias: bool = True,
        relative_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.num_heads = head_count(channels, num_heads)
        self.window = self.rows, self.columns = pair(window_size)
        shift = (shift_size, shift_size) if isinstance(shift_size, int) else shift_size
        if len(shift) != 2 or any(
            step not in range(side) for step, side in zip(shift, self.window, strict=True)
        ):
            raise FovealError(
                f"shift_size={shift_size} must be at least 0 and less than "
                f"window_size={window_size}"
            )
        self.shift = shift[0], shift[1]
        self.qkv_bias, self.relative_bias = qkv_bias, relative_bias
        self.attention_dropout = attention_dropout
        self.qkv = nn.Linear(channels, 3 * channels, bias=qkv_bias)
        self.scale: float | None = None  # 1 / √(channels of a head)
        self.bias: nn.Module | None = None
        if relative_bias:
            self.bias = RelativeBias(self.num_heads, self.window)
        self.proj = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def _project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, the heads side by side."""
        q, k, v = self.qkv(tokens).chunk(3, dim=-1)
        return q, k, v

    def attend_tokens(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend in windows (B, windows, positions, C) that are cut already; `mask` as for
        `foveal.ops.window_attend.attend_windows`."""
        q, k, v = self._project(tokens)
        bias = None if self.bias is None else self.bias()
        dropout = self.attention_dropout if self.training else 0.0
        y = attend_windows(
            q, k, v, self.num_heads, bias=bias, mask=mask, scale=self.scale, dropout=dropout
        )
        return self.dropout(self.proj(y))

    def attention_map(self, x: Map) -> Float[Tensor, "b windows heads n n"]:
        """How much each position of a window takes from each of them, padding included; rows sum
        to 1. Windows row by row, those of a shifted grid beginning at the shift."""
        tokens, mask = self._split(x)
        q, k, _ = self._project(tokens)
        bias = None if self.bias is None else self.bias()
        return window_weights(q, k, self.num_heads, bias=bias, mask=mask, scale=self.scale)

    def forward(self, x: Map) -> Map:
        tokens, mask = self._split(x)
        return self._join(self.attend_tokens(tokens, mask), *x.shape[2:])

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        return to_windows(x, self.window, self.shift)

    def _join(self, tokens: Tensor, height: int, width: int) -> Tensor:
        return from_windows(tokens, self.window, height, width, self.shift)
