"""Criss-cross attention as others wrote it."""

from foveal.attention.window.crisscross import CrissCross
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("crisscross", source="speedinghzl/CCNet cc_attention/functions.py CrissCrossAttention")
def crisscross(state: State, in_dim: int) -> Translation:
    """One pass; the network applies the module twice."""
    return crisscross_r2(state, in_dim, recurrence=1)


@original("crisscross_r2", source="speedinghzl/CCNet's CrissCrossAttention, applied repeatedly")
def crisscross_r2(state: State, in_dim: int, recurrence: int = 2) -> Translation:
    for part in "weight", "bias":
        state.join(f"qkv.{part}", [f"{name}_conv.{part}" for name in ("query", "key", "value")])
    return CrissCross(in_dim, key_channels=in_dim // 8, recurrence=recurrence), {}
