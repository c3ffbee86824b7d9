"""Normalization-based attention as others wrote it."""

from typing import Any

from foveal.attention.channel_spatial.nam import NAM
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("nam", source="Christian-lyc/NAM MODELS/attention.py Att")
def nam(
    state: State,
    channels: int,
    shape: Any = None,  # this, and what follows, is never used
    out_channels: Any = None,
    no_spatial: bool = True,
) -> Translation:
    return NAM(channels), {"Channel_Att.bn2": "norm"}
