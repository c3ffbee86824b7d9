"""UFO attention as others wrote it."""

from foveal.attention.linear.ufo import UFO
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("ufo", source="xmu-xiaoma666/External-Attention-pytorch UFOAttention.py UFOAttention")
def ufo(
    state: State,
    d_model: int,
    d_k: int,
    d_v: int,
    h: int,
    dropout: float = 0.1,  # never used
) -> Translation:
    """Its `d_k` and `d_v` are the widths of one head. Called with queries, keys and values."""
    for part in "weight", "bias":
        state.join(f"qkv.{part}", [f"fc_{name}.{part}" for name in "qkv"])
    return UFO(d_model, h, d_k, d_v, eps=1e-12), {"fc_o": "proj"}
