"""Lambda layers as others wrote them."""

from typing import Any

from foveal.attention.linear.lambda_layer import LambdaLayer
from foveal.core.errors import FovealError
from foveal.ops.window import pair
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import divisible_width, no_stride, same_width


@original("lambda", source="timm.layers.lambda_layer LambdaLayer")
def lambda_layer(
    state: State,
    dim: int,
    dim_out: int | None = None,
    feat_size: int | tuple[int, int] | None = None,
    stride: int = 1,
    num_heads: int = 4,
    dim_head: int | None = 16,
    r: int | None = 9,
    qk_ratio: float = 1.0,
    qkv_bias: bool = False,
    device: Any = None,
    dtype: Any = None,
) -> Translation:
    """Its embedding of relative positions, which it has without `r`, is a kernel that reaches from
    any position of the map to any other."""
    same_width(dim_out or dim, dim)
    no_stride(stride)
    if r is None and feat_size is None:
        raise FovealError("lambda: without r the original needs feat_size")
    width = dim_head or divisible_width(dim * qk_ratio, 8) // num_heads
    if r is None:
        height, breadth = pair(feat_size, "feat_size")  # pyright: ignore[reportArgumentType]
        size = 2 * height - 1, 2 * breadth - 1
        state["position.weight"] = state.pop("pos_emb").permute(2, 0, 1)
    else:
        size = r, r
    module = LambdaLayer(dim, num_heads, width, size, position_bias=r is not None)
    if "qkv.bias" in state:
        query, _, value = state.pop("qkv.bias").split(module.widths)
        state["query.bias"], state["value.bias"] = query, value
        state.absorb_bias("query", "norm_q")
        state.absorb_bias("value", "norm_v")
    return module, {"norm_q": "query_norm", "norm_v": "value_norm", "conv_lambda": "position"}
