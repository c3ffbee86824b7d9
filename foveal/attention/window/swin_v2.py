"""Attention in windows by cosines."""

from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foveal.attention.window.swin import Swin
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.relative import LogSpacedBias, count_offsets
from foveal.ops.window import Size, pair


@register_attention("swin_v2", paper="Liu et al., Swin Transformer V2, CVPR 2022",
                    arxiv="2111.09883")  # fmt: skip
class SwinV2(Swin):
    r"""Attend in windows by the angle between query and key, with a bias that a network makes.

    $$y = \mathrm{softmax}\big(\cos(q, k)\,/\,\tau + b(\Delta)\big)\, v W_O, \qquad
    b(\Delta) = 16\,\sigma\big(\mathrm{MLP}(\mathrm{sign}(\Delta) \log_2(1 + |\Delta|))\big)$$

    Where Swin's scores grow with the activations and its bias is a table for one window size, here
    no score is beyond 1/τ, learned for each head and at most 100, and the bias comes from the
    relative position on a logarithmic scale, which larger windows share.

    Placed: in every block of Swin V2, before the perceptron; normalised after, not before.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 4·C² + C + 2·qkv_bias·C + num_heads + hidden·(3 + num_heads).
    Multiply-adds: ceil(H / rows)·rows·ceil(W / columns)·columns·(4·C² + 2·C·rows·columns + 7·C)
    + offsets·(10 + hidden·(2 + num_heads) + num_heads).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the paper's, one for 32 channels, or as many as divide them.
        window_size: height and width of a window, or one number for both.
        shift_size: how far the windows are shifted; along an axis that lies in one window not at
            all. The paper's is half a window, in every second layer.
        trained_window: the window that weights were trained with, where it is another: relative
            positions keep the place on the scale that they had there.
        hidden: width of the network that makes the bias.
        qkv_bias: give queries and values a bias; the keys have none.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if the heads do not divide the channels, a window is no size, or the shift
            not smaller than it.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        window_size: int | Size = 8,
        shift_size: int | Size = 0,
        trained_window: int | Size | None = None,
        hidden: int = 512,
        qkv_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__(
            channels,
            num_heads,
            window_size,
            shift_size,
            qkv_bias=False,
            relative_bias=False,
            attention_dropout=attention_dropout,
            dropout=dropout,
        )
        trained = None if trained_window is None else pair(trained_window, "trained_window")
        self.qkv_bias, self.hidden, self.scale = qkv_bias, hidden, 1.0
        self.offsets = count_offsets(self.window)
        self.bias = LogSpacedBias(self.num_heads, self.window, trained, hidden)
        self.sharpness = nn.Parameter(torch.full((self.num_heads, 1), log(10)))  # log 1/τ
        self.query_bias = nn.Parameter(torch.zeros(channels)) if qkv_bias else None
        self.value_bias = nn.Parameter(torch.zeros(channels)) if qkv_bias else None

    def _project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        bias = None
        if self.query_bias is not None and self.value_bias is not None:
            zeros = torch.zeros_like(self.query_bias)
            bias = torch.cat((self.query_bias, zeros, self.value_bias))
        q, k, v = F.linear(tokens, self.qkv.weight, bias).chunk(3, dim=-1)
        sharpness = self.sharpness.clamp(max=log(100)).exp()
        q, k = (_unit(t.unflatten(-1, (self.num_heads, -1))) for t in (q, k))
        return (q * sharpness).flatten(-2), k.flatten(-2), v

    def forward(self, x: Map) -> Map:
        return super().forward(x)


def _unit(x: Tensor) -> Tensor:
    """Of length 1; nothing stays nothing, in half precision too."""
    return F.normalize(x, dim=-1, eps=max(1e-12, torch.finfo(x.dtype).tiny))
