"""Attention in windows by cosines as others wrote it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from foveal.attention.window.swin_v2 import SwinV2
from foveal.ops.relative import LogSpacedBias
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.transformer import OnWindows


class SavedBias(LogSpacedBias):
    """The bias on the coordinates that were saved with the weights."""

    def __init__(self, num_heads: int, window: tuple[int, int]):
        super().__init__(num_heads, window)
        self.register_buffer("saved", torch.zeros_like(super().coordinates(torch.zeros(1))))

    def coordinates(self, like: Tensor) -> Tensor:
        return self.saved.to(like.dtype)  # pyright: ignore


@original(
    "window_v2", source="microsoft/Swin-Transformer models/swin_transformer_v2.py WindowAttention"
)
def window_v2(
    state: State,
    dim: int,
    window_size: Sequence[int],
    num_heads: int,
    qkv_bias: bool = True,
    attn_drop: float = 0.0,
    proj_drop: float = 0.0,
    pretrained_window_size: Sequence[int] = (0, 0),
) -> Translation:
    module = SwinV2(
        dim,
        num_heads,
        (window_size[0], window_size[1]),
        trained_window=tuple(pretrained_window_size) if pretrained_window_size[0] > 0 else None,  # pyright: ignore
        qkv_bias=qkv_bias,
        attention_dropout=attn_drop,
        dropout=proj_drop,
    )
    state.drop("relative_position_index")
    if "relative_coords_table" in state:
        module.bias = SavedBias(num_heads, module.window)
        state["bias.saved"] = state.pop("relative_coords_table").reshape(-1, 2)
    return OnWindows(module), {
        "": "mechanism",
        "logit_scale": "mechanism.sharpness",
        "cpb_mlp": "mechanism.bias.mlp",
        "q_bias": "mechanism.query_bias",
        "v_bias": "mechanism.value_bias",
    }
