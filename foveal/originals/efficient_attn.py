"""Efficient attention as others wrote it."""

from foveal.attention.linear.efficient_attn import EfficientAttention
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("efficient", source="cmsflash/efficient-attention EfficientAttention")
def efficient(
    state: State, in_channels: int, key_channels: int, head_count: int, value_channels: int
) -> Translation:
    used = key_channels // head_count * head_count  # the original never reads what is left over
    module = EfficientAttention(in_channels, used, value_channels, head_count)
    state.drop("keys.bias")  # cancelled by the softmax over positions
    state["keys.weight"] = state["keys.weight"][:used]
    for part in "weight", "bias":
        state[f"queries.{part}"] = state[f"queries.{part}"][:used]
        state.join(f"query_value.{part}", [f"queries.{part}", f"values.{part}"])
    return module, {"keys": "key", "reprojection": "proj"}
