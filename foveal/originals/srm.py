"""Style-based recalibration as others wrote it."""

from foveal.attention.channel.srm import SRM
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original(
    "srm",
    source="hyunjaelee410/style-based-recalibration-module recalibration_modules.py SRMLayer",
)
def srm(state: State, channel: int) -> Translation:
    return SRM(channel), {"cfc": "style_weight"}
