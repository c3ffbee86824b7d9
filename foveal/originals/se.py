"""Squeeze-and-excitation as others wrote it."""

from typing import Any

from foveal.attention.channel.se import SE
from foveal.originals.names import activation_name, is_batch_norm
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import divisible_width


@original("se", source="moskomule/senet.pytorch senet/se_module.py SELayer")
@original("se_blog", source="the blog's SE")
def se(state: State, channel: int, reduction: int = 16) -> Translation:
    return SE(channel, reduction), {"fc.0": "squeeze", "fc.2": "excite"}


@original("se_bias", source="timm.layers.squeeze_excite SEModule")
def se_bias(
    state: State,
    channels: int,
    rd_ratio: float = 1 / 16,
    rd_channels: int | None = None,
    rd_divisor: int = 8,
    add_maxpool: bool = False,
    bias: bool = True,
    act_layer: Any = "relu",
    norm_layer: Any = None,
    gate_layer: Any = "sigmoid",
    device: Any = None,
    dtype: Any = None,
) -> Translation:
    module = SE(
        channels,
        hidden=rd_channels or divisible_width(channels * rd_ratio, rd_divisor, keep=0),
        bias=bias,
        norm=is_batch_norm(norm_layer),
        add_max=add_maxpool,
        act=activation_name(act_layer),
        gate=activation_name(gate_layer),
    )
    return module, {"fc1": "squeeze", "fc2": "excite"}
