"""Neighbourhood attention as NATTEN has it."""

from foveal.attention.window.neighborhood import Neighborhood
from foveal.core.layout import OnChannelsLast
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.transformer import scale_queries


@original("neighborhood", source="SHI-Labs/NATTEN NeighborhoodAttention2D")
def neighborhood(
    state: State,
    dim: int,
    num_heads: int,
    kernel_size: int,
    dilation: int = 1,
    rel_pos_bias: bool | None = None,
    qkv_bias: bool = True,
    qk_scale: float | None = None,
    attn_drop: float = 0.0,
    proj_drop: float = 0.0,
) -> Translation:
    """Its versions differ in whether there is a bias by position where nobody asks; the weights
    tell."""
    biased = "rpb" in state if rel_pos_bias is None else rel_pos_bias
    module = Neighborhood(
        dim, num_heads, kernel_size, dilation, qkv_bias, biased, attn_drop, proj_drop
    )
    if qk_scale:
        scale_queries(state, "qkv", dim, qk_scale * (dim // num_heads) ** 0.5)
    return OnChannelsLast(module), {"": "mechanism", "rpb": "mechanism.bias"}
