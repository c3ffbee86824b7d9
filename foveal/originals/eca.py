"""Efficient channel attention as others wrote it."""

from typing import Any

from foveal.attention.channel.eca import ECA, adaptive_kernel_size
from foveal.originals.blind import any_channels
from foveal.originals.names import activation_name
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("eca", source="BangguWu/ECANet models/eca_module.py eca_layer")
def eca(state: State, channel: int, k_size: int = 3) -> Translation:
    # The original never uses its channel argument: it serves any number.
    return any_channels(ECA(channel, k_size)), {}


@original("eca_timm_circular", source="timm.layers.eca CecaModule")
def eca_timm_circular(
    state: State,
    channels: int | None = None,
    kernel_size: int = 3,
    gamma: float = 2,
    beta: float = 1,
    act_layer: Any = None,
    gate_layer: Any = "sigmoid",
    device: Any = None,
    dtype: Any = None,
) -> Translation:
    if channels is not None:  # then the kernel size given is not used
        kernel_size = max(adaptive_kernel_size(channels, gamma, beta), 3)
    module = ECA(
        channels or kernel_size,
        kernel_size,
        circular=True,
        bias=act_layer is not None,  # the activation itself is never applied
        gate=activation_name(gate_layer),
    )
    return any_channels(module), {}
