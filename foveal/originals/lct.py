"""Linear context transform as others wrote it."""

from foveal.attention.channel.lct import LCT
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("lct", source="changzy00/pytorch-attention attention_mechanisms/lct.py LCT")
def lct(state: State, channels: int, groups: int, eps: float = 1e-5) -> Translation:
    return LCT(channels, groups, eps), {"w": "weight", "b": "bias"}
