"""Attention at short or long distance."""

import torch
from einops import rearrange
from torch import Tensor

from foveal.attention.window.swin import Swin
from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.relative import DynamicBias, count_offsets
from foveal.ops.width import hidden_width
from foveal.ops.window import Size, crop, is_open, pad_to_multiple, padded_size


@register_attention("crossformer", paper="Wang et al., CrossFormer: A Versatile Vision Transformer "
                    "Hinging on Cross-scale Attention, ICLR 2022", arxiv="2108.00154")  # fmt: skip
class CrossFormer(Swin):
    r"""Attend in groups of neighbours, or in groups of positions a fixed interval apart.

    $$y = \mathrm{softmax}\big(q k^\top / \sqrt{d} + \mathrm{MLP}(\Delta)\big)\, v W_O
    \quad \text{in each group of } G \times G$$

    At short distance a group is a window; at long distance, with an interval I, it takes every I-th
    position of a square of G·I, so that the squares share out the map whatever its size, where a
    grid over the whole map would stretch with it. A small network makes the bias from the relative
    position, so that no table ties the weights to a group size.

    Placed: in every block of CrossFormer, before the perceptron; short and long distances by turns.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 4·C² + C + 3·qkv_bias·C + relative_bias·hidden·(2·hidden + 11 + num_heads).
    Multiply-adds: ceil(H / (rows·step))·rows·step·ceil(W / (columns·step))·columns·step
    ·(4·C² + 2·C·rows·columns) + relative_bias·offsets·hidden·(14 + 2·hidden + num_heads).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the paper's, one for 32 channels, or as many as divide them.
        window_size: G, height and width of a group, or one number for both.
        interval: I, for attention at long distance. Default: at short distance.
        hidden: width of the network that makes the bias. Default: C/16, at least 8.
        qkv_bias: give queries, keys and values a bias.
        relative_bias: add the bias by relative position.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if the heads do not divide the channels, the group is no size, or the interval
            or the width not positive.

    Departs: The authors' code takes C/16 however narrow that is; layer norms over four numbers say
    much the same of every relative position, and part of the network learns nothing.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        window_size: int | Size = 7,
        interval: int | None = None,
        hidden: int | None = None,
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
            relative_bias=False,
            attention_dropout=attention_dropout,
            dropout=dropout,
        )
        self.step = 1 if interval is None else interval
        if self.step < 1:
            raise FovealError(f"interval={interval} must be positive; leave it out for windows")
        self.hidden = hidden_width(channels, 16, least=8, hidden=hidden)
        self.offsets, self.relative_bias = count_offsets(self.window), relative_bias
        if relative_bias:
            self.bias = DynamicBias(self.num_heads, self.window, self.hidden)

    def forward(self, x: Map) -> Map:
        return super().forward(x)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        (g, h), i = self.window, self.step
        height, width = x.shape[2:]
        groups = rearrange(
            pad_to_multiple(x, (g * i, h * i)),
            "b c (m g i) (n h j) -> b (m i n j) (g h) c",
            g=g,
            h=h,
            i=i,
            j=i,
        )
        if not is_open(height) and not is_open(width) and not height % (g * i) | width % (h * i):
            return groups, None
        rows, columns = (
            (torch.arange(padded_size(size, side * i), device=x.device) < size)
            .view(-1, side, i)
            .mT.flatten(0, 1)
            for size, side in ((height, g), (width, h))
        )
        inside = rows[:, None, :, None] & columns[None, :, None, :]
        inside = inside.flatten(2).flatten(0, 1)
        return groups, inside[:, :, None] == inside[:, None, :]  # padding sees padding

    def _join(self, tokens: Tensor, height: int, width: int) -> Tensor:
        (g, h), i = self.window, self.step
        m, n = padded_size(height, g * i) // (g * i), padded_size(width, h * i) // (h * i)
        x = rearrange(
            tokens,
            "b (m i n j) (g h) c -> b c (m g i) (n h j)",
            m=m,
            n=n,
            g=g,
            h=h,
            i=i,
            j=i,
        )
        return crop(x, height, width)
