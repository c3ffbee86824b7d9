"""Multidimensional collaborative attention as others wrote it."""

from foveal.attention.channel_spatial.mca_collaborative import CollaborativeAttention
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("mca", source="ndsclark/MCANet ImageNet/mca_module.py MCALayer")
def mca(state: State, inp: int, no_spatial: bool = False) -> Translation:
    """Its `no_spatial` leaves out the gate along the channels."""
    return CollaborativeAttention(inp, channel=not no_spatial), {
        "h_cw": "rows",
        "w_hc": "columns",
        "c_hw": "channel_gate",
    }
