"""Cross-covariance attention as others wrote it."""

from typing import Any

from foveal.attention.channel.xca import XCA
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("xca", source="facebookresearch/xcit xcit.py XCA")
def xca(
    state: State,
    dim: int,
    num_heads: int = 8,
    qkv_bias: bool = False,
    qk_scale: Any = None,  # never used
    attn_drop: float = 0.0,
    proj_drop: float = 0.0,
) -> Translation:
    return XCA(dim, num_heads, qkv_bias, attn_drop, proj_drop), {}
