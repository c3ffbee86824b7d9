"""Coordinate attention as others wrote it."""

from foveal.attention.channel_spatial.coord import CoordinateAttention
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import same_width


@original("coordatt", source="houqb/CoordAttention coordatt.py CoordAtt")
def coordatt(state: State, inp: int, oup: int, reduction: int = 32) -> Translation:
    same_width(oup, inp)
    state.absorb_bias("conv1", "bn1")
    return CoordinateAttention(inp, reduction), {
        "conv1": "shared",
        "bn1": "bn",
        "conv_h": "rows",
        "conv_w": "columns",
    }


@original("coordatt_blog", source="the blog's CoordinateAttention")
def coordatt_blog(
    state: State, in_chans: int, reduction: int = 32, out_chans: int | None = None
) -> Translation:
    same_width(out_chans, in_chans)
    state.absorb_bias("conv.conv", "conv.norm")
    # The least width is not told by the arguments; the weights tell it.
    module = CoordinateAttention(in_chans, reduction, hidden=state.width("conv.conv.weight"))
    return module, {
        "conv.conv": "shared",
        "conv.norm": "bn",
        "attn_h": "rows",
        "attn_w": "columns",
    }
