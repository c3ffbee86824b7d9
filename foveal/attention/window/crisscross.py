"""Criss-cross attention."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.width import hidden_width


@register_attention("crisscross", paper="Huang et al., CCNet, ICCV 2019", arxiv="1811.11721")
class CrissCross(nn.Module):
    r"""Attend from each position to its row and its column, twice, and so to the whole image.

    $$x \leftarrow x + \gamma \sum_{j \in \mathrm{row}(i) \cup \mathrm{column}(i)} \alpha_{ij} V_j,
    \quad \alpha_i = \mathrm{softmax}_j(Q_i^\top K_j), \quad Q, K, V = W_Q x, W_K x, W_V x$$

    Row and column share one softmax, in which the position itself stands once; axial attention
    normalises each by itself. The second pass has the weights of the first, and reaches through one
    crossing every other position. Born an identity, for γ starts at 0.

    Placed: once, on the narrowed map that ends the backbone of a segmentation network.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: (2·key_channels + C)·(C + 1) + 1.
    Multiply-adds: recurrence·N·((2·key_channels + C)·C + (H + W)·(key_channels + C + 2) + 2·C).

    Args:
        channels: channels C of the feature map.
        reduction: by which queries and keys are narrower than C.
        key_channels: width of queries and keys. Default: C / `reduction`.
        recurrence: how often it is applied, each time with the same weights. CCNet has 2.

    Raises:
        FovealError: if the reduction, the width or the recurrence is below 1.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 8,
        key_channels: int | None = None,
        recurrence: int = 2,
    ):
        super().__init__()
        if recurrence < 1:
            raise FovealError(f"recurrence={recurrence} must be at least 1")
        self.key_channels = hidden_width(channels, reduction, hidden=key_channels)
        self.recurrence = recurrence
        # The keys' share of the bias has no effect, for the softmax cancels it.
        self.qkv = nn.Conv2d(channels, 2 * self.key_channels + channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def _queries_keys_values(self, x: Map) -> tuple[Tensor, ...]:
        """Each (B, H, W, channels): so the rows lie in memory as they are multiplied."""
        width = self.key_channels
        qkv = self.qkv(x.contiguous(memory_format=torch.channels_last)).permute(0, 2, 3, 1)
        return qkv.split((width, width, x.shape[1]), -1)

    def _weights(self, q: Tensor, k: Tensor) -> Float[Tensor, "b h w keys"]:
        columns = q.transpose(1, 2) @ k.permute(0, 2, 3, 1)  # (B, W, H, H)
        rows = q @ k.mT  # (B, H, W, W)
        step = torch.arange(q.shape[1], device=q.device)
        itself = step[:, None] == step  # counted among the rows
        columns = columns.masked_fill(itself, float("-inf"))
        return torch.cat((columns.transpose(1, 2), rows), dim=-1).softmax(-1)

    def attention_map(self, x: Map) -> Float[Tensor, "b h w keys"]:
        """How much each position takes, in the first pass, from the H positions of its column and
        then the W of its row; together they sum to 1."""
        return self._weights(*self._queries_keys_values(x)[:2])

    def forward(self, x: Map) -> Map:
        for _ in range(self.recurrence):
            q, k, v = self._queries_keys_values(x)
            weights = self._weights(q, k)
            columns, rows = weights.split(x.shape[2:], -1)
            from_columns = (columns.transpose(1, 2) @ v.transpose(1, 2)).transpose(1, 2)
            found = (from_columns + rows @ v).permute(0, 3, 1, 2)
            x = torch.addcmul(x, self.gamma, found)
        return x
