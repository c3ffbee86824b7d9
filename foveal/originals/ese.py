"""Effective squeeze-and-excitation as others wrote it."""

from typing import Any

from foveal.attention.channel.ese import ESE
from foveal.originals.names import activation_name
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("ese", source="timm.layers.squeeze_excite EffectiveSEModule")
def ese(
    state: State,
    channels: int,
    add_maxpool: bool = False,
    gate_layer: Any = "hard_sigmoid",
    device: Any = None,
    dtype: Any = None,
    # The original takes what it takes for SE, and never looks at it.
    rd_ratio: Any = None,
    rd_channels: Any = None,
    rd_divisor: Any = None,
    bias: Any = None,
    act_layer: Any = None,
    norm_layer: Any = None,
) -> Translation:
    return ESE(channels, add_maxpool, activation_name(gate_layer)), {}
