"""Spatial shifts mixed by split attention as others wrote them."""

from foveal.attention.branch.s2 import S2
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("s2", source="xmu-xiaoma666/External-Attention-pytorch S2Attention.py, its shifts mended")
def s2(state: State, channels: int = 512) -> Translation:
    """As its paper has it: the code shifts in place, and so smears the edge over the map."""
    return S2(channels), {
        "mlp1": "expand",
        "mlp2": "proj",
        "split_attention.mlp1": "choose.0",
        "split_attention.mlp2": "choose.2",
    }
