"""The global attention mechanism as others wrote it."""

from foveal.attention.channel_spatial.gam import GAM
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import same_width


def _translated(state: State, module: GAM) -> Translation:
    state.absorb_bias("spatial_attention.0", "spatial_attention.1")
    state.absorb_bias("spatial_attention.3", "spatial_attention.4")
    return module, {"channel_attention": "channel", "spatial_attention": "spatial"}


@original("gam", source="northBeggar/Plug-and-Play GAM attention.py GAM_Attention")
def gam(state: State, in_channels: int, out_channels: int, rate: float = 4) -> Translation:
    same_width(out_channels, in_channels)
    module = GAM(in_channels, hidden=int(in_channels / rate), gate="identity")
    return _translated(state, module)


@original("gam_grouped", source="iscyy/yoloair GAMAttention.py GAMAttention")
def gam_grouped(state: State, c1: int, c2: int, group: bool = True, rate: int = 4) -> Translation:
    same_width(c2, c1)
    groups = rate if group else 1
    module = GAM(c1, groups=groups, shuffle=4, hidden=int(c1 / rate), gate="identity")
    return _translated(state, module)
