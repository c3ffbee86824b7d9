"""Self-attention without projections as others wrote it."""

from foveal.attention.self_attention.simplified_sa import SimplifiedSA
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original(
    "simplified_self",
    source="xmu-xiaoma666/External-Attention-pytorch SimplifiedSelfAttention.py "
    "SimplifiedScaledDotProductAttention",
)
def simplified_self(state: State, d_model: int, h: int, dropout: float = 0.1) -> Translation:
    return SimplifiedSA(d_model, h, attention_dropout=dropout), {"fc_o": "proj"}
