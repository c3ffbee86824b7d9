"""Weighted permute-MLP (Vision Permutator)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.width import fitting_groups, hidden_width


@register_attention("vip", paper="Hou et al., Vision Permutator, TPAMI 2022", arxiv="2106.12368")
class ViP(nn.Module):
    r"""Mix along columns, along rows and across channels, each channel choosing among the three.

    $$y = W \textstyle\sum_{m \in \{h, w, c\}} a_m \odot u_m, \quad
    u_c = W_c x, \quad u_h[:, g] = W_h\,\mathrm{vec}\big(x[:, g]\big), \quad
    a = \mathrm{softmax}_m\big(W_2\,\mathrm{GELU}(W_1 \textstyle\sum_m \mathrm{mean}\,u_m)\big)$$

    The channels lie in G segments. A column of G positions and one segment hold C numbers, which a
    C × C layer mixes; what it learns of each position makes up for the missing neighbourhood.
    Selective kernels choose among convolutions in the same way.

    Placed: in place of self-attention in every block, before the perceptron.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 4·C² + qkv_bias·3·C + C + 4·C·hidden + hidden + 3·C.
    Multiply-adds: 2·C²·N + C²·segments·(H + W) + 4·C·N·segments + 6·C·N + 4·C·hidden + 8·C
    + 7·2·segments·(H + W).

    Args:
        channels: channels C of the feature map.
        segments: G, and so the height and width at which the layers mix. A map of another size is
            resampled to G rows (or columns) for that branch, and back. Default: 8, or fewer where
            8 does not divide the channels. The published models have 16 and 32, the sizes of
            their maps.
        reduction: by which the hidden layer of the choice is narrower.
        hidden: width of that layer. Default: C / `reduction`.
        qkv_bias: give the three mixing layers a bias.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if the segments do not divide the channels, or a width is below 1.

    Departs: The authors' layer runs at G × G only; there this is the same.
    """

    def __init__(
        self,
        channels: int,
        segments: int | None = None,
        reduction: int = 4,
        hidden: int | None = None,
        qkv_bias: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__()
        segments = fitting_groups(channels, 8) if segments is None else segments
        if segments < 1 or channels % segments:
            raise FovealError(f"segments={segments} must divide channels={channels}")
        self.segments, self.qkv_bias = segments, qkv_bias
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        # Numbers of a column and a segment in the order (channel of the segment, row), as they lie
        # in memory.
        self.mix_column = nn.Conv1d(channels, channels, 1, bias=qkv_bias)
        self.mix_row = nn.Conv1d(channels, channels, 1, bias=qkv_bias)
        self.mix_channels = nn.Conv2d(channels, channels, 1, bias=qkv_bias)
        self.choose = nn.Sequential(
            nn.Linear(channels, self.hidden), nn.GELU(), nn.Linear(self.hidden, 3 * channels)
        )
        self.proj = nn.Conv2d(channels, channels, 1)
        self.dropout = nn.Dropout(dropout)

    def _along_columns(self, x: Map, layer: nn.Module) -> Map:
        height, size = x.shape[2], self.segments
        resized = _resize(height, size, x) @ x  # (B, C, G, W)
        mixed = layer(resized.unflatten(1, (size, -1)).flatten(0, 1).flatten(1, 2))
        mixed = mixed.unflatten(0, (-1, size)).unflatten(2, (-1, size)).flatten(1, 2)
        return _resize(size, height, x) @ mixed

    def _branches(self, x: Map) -> tuple[list[Map], Float[Tensor, "b c 3"]]:
        branches = [
            self._along_columns(x, self.mix_column),
            self._along_columns(x.mT, self.mix_row).mT,
            self.mix_channels(x),
        ]
        first, second, third = (u.mean((2, 3)) for u in branches)
        scores = self.choose(first + second + third)
        return branches, scores.unflatten(1, (-1, 3)).softmax(2)

    def attention_map(self, x: Map) -> Float[Tensor, "b c 3"]:
        """Each channel's share of columns, rows and channels; the shares of a channel sum to 1."""
        return self._branches(x)[1]

    def forward(self, x: Map) -> Map:
        (columns, rows, channels), shares = self._branches(x)
        first, second, third = shares[..., None, None].unbind(2)
        y = torch.addcmul(channels * third, columns, first)
        return self.dropout(self.proj(torch.addcmul(y, rows, second)))


def _resize(size: int, new_size: int, like: Tensor) -> Float[Tensor, "new old"]:
    """Linear interpolation from one number of positions to another, as a matrix; averages over all
    that fall together when there are fewer, and is the identity for equal numbers."""
    wide = torch.promote_types(like.dtype, torch.float32)
    step = size / new_size
    place = (torch.arange(new_size, device=like.device).to(wide) + 0.5) * step - 0.5
    distance = (place[:, None] - torch.arange(size, device=like.device)).abs()
    reach = (torch.ones((), device=like.device, dtype=wide) * step).clamp(min=1)
    return F.normalize((1 - distance / reach).clamp(min=0), p=1.0, dim=1).to(like.dtype)
