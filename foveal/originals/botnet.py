"""BoTNet's attention as others wrote it."""

from typing import Any

from foveal.attention.self_attention.botnet import BoTNet
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import divisible_width, no_stride, same_width


@original("bottleneck", source="timm.layers.bottleneck_attn BottleneckAttn")
def bottleneck(
    state: State,
    dim: int,
    dim_out: int | None = None,
    feat_size: int | tuple[int, int] = 14,  # timm has no default, and refuses to be built so
    stride: int = 1,
    num_heads: int = 4,
    dim_head: int | None = None,
    qk_ratio: float = 1.0,
    qkv_bias: bool = False,
    scale_pos_embed: bool = False,
    device: Any = None,
    dtype: Any = None,
) -> Translation:
    same_width(dim_out or dim, dim)
    no_stride(stride)
    module = BoTNet(
        dim,
        num_heads,
        head_channels=dim_head or divisible_width(dim * qk_ratio, 8) // num_heads,
        table_size=feat_size if isinstance(feat_size, int) else (feat_size[0], feat_size[1]),
        qkv_bias=qkv_bias,
        scale_positions=scale_pos_embed,
    )
    return module, {"pos_embed.height_rel": "rows", "pos_embed.width_rel": "columns"}
