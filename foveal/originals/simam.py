"""SimAM as others wrote it."""

from foveal.attention.channel_spatial.simam import SimAM
from foveal.originals.blind import any_channels
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("simam", source="ZjjConan/SimAM networks/attentions/simam_module.py simam_module")
def simam(state: State, channels: int | None = None, e_lambda: float = 1e-4) -> Translation:
    return any_channels(SimAM(1, e_lambda)), {}
