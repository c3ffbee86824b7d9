"""Attention among overlapping windows as its authors wrote it."""

from collections.abc import Sequence

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from foveal.attention.window.moa import MOA
from foveal.core.errors import FovealError
from foveal.ops.attend import attention_weights
from foveal.ops.heads import split_heads
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.transformer import scale_queries


class MOATokens(nn.Module):
    """The windows' tokens, without what adds them to the map.

    Three times it reads memory in another order than it was written in: tokens (B, N, C) as a map
    (B, C, H, W), and of queries and keys channels as windows. Its weights were trained so.

    Shape: (B, H·W, C) → (B, windows, C).
    """

    def __init__(self, moa: MOA, grid: tuple[int, int]):
        super().__init__()
        self.moa, self.grid = moa, grid
        channels, bias = moa.proj.in_features, moa.qkv_bias
        self.query = nn.Linear(moa.hidden * moa.side**2, channels, bias=bias)
        self.key_value = nn.Linear(moa.hidden * moa.reach**2, 2 * channels, bias=bias)
        del moa.query, moa.key_value

    def _windows(self, x: Tensor, height: int | None, width: int | None) -> tuple[Tensor, ...]:
        height, width = height or self.grid[0], width or self.grid[1]
        side, reach = self.moa.side, self.moa.reach
        x = self.moa.squeeze(x.reshape(x.shape[0], -1, height, width))
        own = rearrange(x, "b c (h p) (w q) -> b (p q c) h w", p=side, q=side)
        around = F.unfold(x, reach, stride=side, padding=1)
        own, around = (
            t.reshape(x.shape[0], -1, layer.in_features)
            for t, layer in ((own, self.query), (around, self.key_value))
        )
        bias = self.moa._bias(height, width)
        return self.query(own), *self.key_value(around).chunk(2, dim=-1), bias

    def attention_map(
        self, x: Tensor, height: int | None = None, width: int | None = None
    ) -> Tensor:
        q, k, _, bias = self._windows(x, height, width)
        q, k = (split_heads(t, self.moa.num_heads) for t in (q, k))
        return attention_weights(q, k, bias=bias)

    def forward(self, x: Tensor, height: int | None = None, width: int | None = None) -> Tensor:
        return self.moa.attend_windows(*self._windows(x, height, width))


@original("moa", source="krushi1992/MOA-transformer models/MOA_transformer.py GlobalAttention")
def moa(
    state: State,
    dim: int,
    window_size: Sequence[int],
    input_resolution: Sequence[int],
    num_heads: int,
    qkv_bias: bool = True,
    qk_scale: float | None = None,
    attn_drop: float = 0.0,
    proj_drop: float = 0.0,
) -> Translation:
    """Its stride is 14 whatever the window; windows of another size are taken to lie side by side,
    as they do in the paper. Its dropouts are left out."""
    height, width = input_resolution
    side = window_size[0]
    if height != width or height % side:
        raise FovealError(
            f"moa: input_resolution={input_resolution} must be square and a multiple of "
            f"window_size={window_size}, as the original's table needs it"
        )
    module = MOA(dim, num_heads, side, num_windows=height // side, qkv_bias=qkv_bias)
    state.drop("relative_position_index")
    if qk_scale:
        scale_queries(state, "q", dim, qk_scale * (dim // num_heads) ** 0.5)
    return MOATokens(module, (height, width)), {
        "pre_conv": "moa.squeeze",
        "relative_position_bias_table": "moa.table",
        "q": "query",
        "kv": "key_value",
        "proj": "moa.proj",
    }
