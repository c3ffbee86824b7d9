"""Efficient multi-scale attention as others wrote it."""

from typing import Any

from foveal.attention.channel_spatial.ema_multiscale import EfficientMultiScaleAttention
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("ema", source="YOLOonMe/EMA-attention-module EMA_attention_module EMA")
def ema(state: State, channels: int, c2: Any = None, factor: int = 32) -> Translation:
    """The original never uses its `c2`."""
    return EfficientMultiScaleAttention(channels, factor), {
        "gn.weight": "scale",
        "gn.bias": "shift",
        "conv1x1": "strips",
        "conv3x3": "conv",
    }
