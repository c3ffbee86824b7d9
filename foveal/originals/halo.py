"""Halo attention as timm has it."""

from typing import Any

from foveal.attention.window.halo import Halo
from foveal.core.errors import FovealError
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import divisible_width, no_stride, same_width


@original("halo", source="timm.layers.halo_attn HaloAttn")
def halo(
    state: State,
    dim: int,
    dim_out: int | None = None,
    feat_size: Any = None,  # not used
    stride: int = 1,
    num_heads: int = 8,
    dim_head: int | None = None,
    block_size: int = 8,
    halo_size: int = 3,
    qk_ratio: float = 1.0,
    qkv_bias: bool = False,
    avg_down: bool = False,  # used with a stride only
    scale_pos_embed: bool = False,
    device: Any = None,
    dtype: Any = None,
) -> Translation:
    same_width(dim_out, dim)
    no_stride(stride)
    width = dim_head or divisible_width(dim * qk_ratio, 8) // num_heads
    if width < 1:
        raise FovealError(f"dim={dim}, qk_ratio={qk_ratio} leave num_heads={num_heads} no width")
    module = Halo(
        dim, num_heads, width, block_size, halo_size, qkv_bias, scale_pos_embed, mask_edges=False
    )
    for table in "height_rel", "width_rel":  # relative positions that do not occur
        state[f"pos_embed.{table}"] = state[f"pos_embed.{table}"][2 * halo_size :]
    return module, {
        "q": "query",
        "kv": "key_value",
        "pos_embed.height_rel": "rows",
        "pos_embed.width_rel": "columns",
    }
