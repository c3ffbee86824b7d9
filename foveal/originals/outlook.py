"""Outlook attention as others wrote it."""

from foveal.attention.window.outlook import Outlook
from foveal.core.errors import FovealError
from foveal.core.layout import OnChannelsLast
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("outlook", source="sail-sg/volo models/volo.py OutlookAttention")
def outlook(
    state: State,
    dim: int,
    num_heads: int,
    kernel_size: int = 3,
    padding: int = 1,
    stride: int = 1,
    qkv_bias: bool = False,
    qk_scale: float | None = None,
    attn_drop: float = 0.0,
    proj_drop: float = 0.0,
) -> Translation:
    if padding != kernel_size // 2:
        raise FovealError(
            f"padding={padding}: only kernel_size // 2 = {kernel_size // 2}, which puts a window "
            "around each position at any size, can be loaded"
        )
    module = Outlook(
        dim, num_heads, kernel_size, stride, qkv_bias, qk_scale or None, attn_drop, proj_drop
    )
    names = {"v": "value", "attn": "score", "proj": "proj"}
    return OnChannelsLast(module), {a: f"mechanism.{b}" for a, b in names.items()}
