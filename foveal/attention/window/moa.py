"""Attention among windows that overlap."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import head_count, merge_heads, split_heads
from foveal.ops.width import hidden_width
from foveal.ops.window import crop, is_open, pad_to_multiple, padded_size


@register_attention("moa", paper="Patel et al., Aggregating Global Features into Local Vision "
                    "Transformer, ICPR 2022", arxiv="2201.12903")  # fmt: skip
class MOA(nn.Module):
    r"""Let windows, each as one token, attend to each other, and tell all their positions.

    $$y_i = x_i + W_O \sum_{s} \mathrm{softmax}_s\big(q_{r}^\top k_s / \sqrt{d} + b_{r-s}\big)
    \, v_s, \quad i \in \text{window } r$$

    It stands after attention inside the windows, which it joins up. A window's query is made of
    its own positions, keys and values of a window that reaches a little further on every side, so
    that neighbours overlap; all of few channels, so that the layers over whole windows stay small.

    Placed: after the blocks of a stage that attend in windows, before the map is halved.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·hidden + hidden + C·hidden·(side² + 2·reach²) + 3·qkv_bias·C + C² + C
    + num_heads·(2·num_windows − 1)².
    Multiply-adds: N·C·(hidden + 1) + ceil(H / side)·ceil(W / side)·C·(hidden·(side² + 2·reach²)
    + C + 2·ceil(H / side)·ceil(W / side)).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the paper's, one for 32 channels, or as many as divide them.
        window_size: height and width of a window. The published models have 14, which makes one
            window of a small map.
        overlap: how much further keys and values reach, on every side.
        reduction: by which the channels are fewer that the layers over windows see.
        hidden: their number. Default: C / reduction.
        num_windows: windows along each axis up to which relative positions differ; windows further
            apart count as that far.
        qkv_bias: give queries, keys and values a bias.

    Raises:
        FovealError: if the heads do not divide the channels, or a size is not positive.

    Departs: The authors' code reads the tokens of its three layers in another order than they were
    written in, which mixes channels and positions; this does as the paper describes.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        window_size: int = 7,
        overlap: int = 1,
        reduction: int = 32,
        hidden: int | None = None,
        num_windows: int = 4,
        qkv_bias: bool = True,
    ):
        super().__init__()
        if window_size < 1 or overlap < 0 or num_windows < 1:
            raise FovealError(
                f"window_size={window_size} and num_windows={num_windows} must be positive, "
                f"overlap={overlap} not negative"
            )
        self.num_heads = head_count(channels, num_heads)
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.side, self.reach = window_size, window_size + 2 * overlap
        self.num_windows, self.qkv_bias = num_windows, qkv_bias
        self.squeeze = nn.Conv2d(channels, self.hidden, 1)
        self.query = nn.Conv2d(self.hidden, channels, self.side, stride=self.side, bias=qkv_bias)
        self.key_value = nn.Conv2d(
            self.hidden,
            2 * channels,
            self.reach,
            stride=self.side,
            padding=overlap,
            bias=qkv_bias,
        )
        self.table = nn.Parameter(torch.zeros((2 * num_windows - 1) ** 2, self.num_heads))
        self.proj = nn.Linear(channels, channels)

    def _windows(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of the windows: (B, windows, C)."""
        x = pad_to_multiple(self.squeeze(x), (self.side, self.side))
        q, kv = self.query(x).flatten(2).mT, self.key_value(x).flatten(2).mT
        return q, *kv.chunk(2, dim=-1)

    def _bias(self, height: int, width: int) -> Tensor:
        """What relative positions of windows add to the scores: (heads, windows, windows)."""
        far, device = self.num_windows - 1, self.table.device
        steps, inside = [], []
        for size in (height, width):
            count = (size + self.side - 1) // self.side
            place = torch.arange(padded_size(size, self.side) // self.side, device=device)
            steps.append((place[:, None] - place).clamp(-far, far) + far)
            inside.append(place < count)
        (rows, columns), side = steps, 2 * far + 1
        index = rows[:, None, :, None] * side + columns[None, :, None, :]
        bias = self.table.T.index_select(1, index.flatten())
        bias = bias.unflatten(1, index.shape).flatten(3).flatten(1, 2)
        if not is_open(height) and not is_open(width):
            return bias
        inside = (inside[0][:, None] & inside[1]).flatten()
        return torch.where(inside, bias, float("-inf"))

    def attend_windows(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """What each window learns of the others: (B, windows, C)."""
        q, k, v = (split_heads(t, self.num_heads) for t in (q, k, v))
        return self.proj(merge_heads(attend(q, k, v, bias=bias.to(q.dtype))))

    def attention_map(self, x: Map) -> Float[Tensor, "b heads n m"]:
        """How much each window takes from each; rows sum to 1."""
        q, k, _ = self._windows(x)
        q, k = (split_heads(t, self.num_heads) for t in (q, k))
        return attention_weights(q, k, bias=self._bias(*x.shape[2:]))

    def forward(self, x: Map) -> Map:
        height, width = x.shape[2:]
        bias = self._bias(height, width)
        y = self.attend_windows(*self._windows(x), bias)
        y = y.mT.unflatten(2, (-1, padded_size(width, self.side) // self.side))
        y = y[:, :, :, None, :, None].expand(-1, -1, -1, self.side, -1, self.side)
        return x + crop(y.flatten(4).flatten(2, 3), height, width)
