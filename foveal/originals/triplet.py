"""Triplet attention as others wrote it."""

from foveal.attention.channel_spatial.triplet import TripletAttention
from foveal.originals.blind import any_channels
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("triplet", source="landskape-ai/triplet-attention triplet_attention.py TripletAttention")
def triplet(state: State, no_spatial: bool = False) -> Translation:
    # The original rotates rows before channels where we have channels before rows.
    state["hc.conv.conv.weight"] = state["hc.conv.conv.weight"].mT
    module = any_channels(TripletAttention(1, spatial=not no_spatial))
    return module, {"cw.conv": "cw", "hc.conv": "ch", "hw.conv": "hw"}
