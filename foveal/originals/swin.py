"""Attention in windows as others wrote it."""

from collections.abc import Sequence
from typing import Any

from einops import rearrange
from torch import Tensor, nn

from foveal.attention.window.swin import Swin
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.transformer import OnWindows, scale_queries, two_layers

TABLE = "relative_position_bias_table"


@original("window", source="microsoft/Swin-Transformer models/swin_transformer.py WindowAttention")
def window(
    state: State,
    dim: int,
    window_size: Sequence[int],
    num_heads: int,
    qkv_bias: bool = True,
    qk_scale: float | None = None,
    attn_drop: float = 0.0,
    proj_drop: float = 0.0,
) -> Translation:
    module = Swin(
        dim,
        num_heads,
        (window_size[0], window_size[1]),
        qkv_bias=qkv_bias,
        attention_dropout=attn_drop,
        dropout=proj_drop,
    )
    state.drop("relative_position_index")
    if qk_scale:
        scale_queries(state, "qkv", dim, qk_scale * (dim // num_heads) ** 0.5)
    return OnWindows(module), {"": "mechanism", TABLE: "mechanism.bias.table"}


class SwinBlock(nn.Module):
    """Swin's attention and perceptron, each normalised before and added to what it was given.

    Shape: (B, H·W, C) → the same, for the H and W that the block was built for.
    """

    def __init__(
        self, attn: nn.Module, mlp: nn.Module, norms: Sequence[nn.Module], grid: tuple[int, int]
    ):
        super().__init__()
        self.norm1, self.norm2 = norms
        self.attn, self.mlp, self.grid = attn, mlp, grid

    def _normed(self, x: Tensor) -> Tensor:
        return rearrange(self.norm1(x), "b (h w) c -> b c h w", h=self.grid[0], w=self.grid[1])

    def attention_map(self, x: Tensor) -> Tensor:
        return self.attn.attention_map(self._normed(x))  # pyright: ignore[reportCallIssue]

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self._normed(x)).flatten(2).mT
        return x + self.mlp(self.norm2(x))


@original(
    "swin_block",
    source="microsoft/Swin-Transformer models/swin_transformer.py SwinTransformerBlock",
)
def swin_block(
    state: State,
    dim: int,
    input_resolution: Sequence[int],
    num_heads: int,
    window_size: int = 7,
    shift_size: int = 0,
    mlp_ratio: float = 4.0,
    qkv_bias: bool = True,
    qk_scale: float | None = None,
    drop: float = 0.0,
    attn_drop: float = 0.0,
    drop_path: float = 0.0,
    act_layer: Any = nn.GELU,
    norm_layer: Any = nn.LayerNorm,
    fused_window_process: bool = False,
) -> Translation:
    """`drop_path`, which drops whole branches in training, is left out."""
    if min(input_resolution) <= window_size:
        window_size, shift_size = min(input_resolution), 0
    attn = Swin(
        dim,
        num_heads,
        window_size,
        shift_size,
        qkv_bias,
        attention_dropout=attn_drop,
        dropout=drop,
    )
    mlp = two_layers(dim, int(dim * mlp_ratio), act_layer, drop)
    norms = norm_layer(dim), norm_layer(dim)
    state.drop("attn.relative_position_index", "attn_mask")
    if qk_scale:
        scale_queries(state, "attn.qkv", dim, qk_scale * (dim // num_heads) ** 0.5)
    block = SwinBlock(attn, mlp, norms, (input_resolution[0], input_resolution[1]))
    return block, {f"attn.{TABLE}": "attn.bias.table"}
