"""Gather-excite as others wrote it."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from foveal.attention.channel.ge import GE
from foveal.ops.norm import BatchNorm2d
from foveal.originals.names import activation_name
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import divisible_width


@original("ge", source="timm.layers.gather_excite GatherExcite")
@original("ge_minus", source="timm.layers.gather_excite GatherExcite")
@original("ge_global_params", source="timm.layers.gather_excite GatherExcite")
def ge(
    state: State,
    channels: int,
    feat_size: Sequence[int] | None = None,
    extra_params: bool = False,
    extent: int = 0,
    use_mlp: bool = True,
    rd_ratio: float = 1 / 16,
    rd_channels: int | None = None,
    rd_divisor: int = 1,
    add_maxpool: bool = False,
    act_layer: Any = "relu",
    norm_layer: Any = nn.BatchNorm2d,  # whatever it is, the original takes BatchNorm2d for it
    gate_layer: Any = "sigmoid",
    device: Any = None,
    dtype: Any = None,
) -> Translation:
    norm, learned_globally = bool(norm_layer), extra_params and not extent
    module = GE(
        channels,
        # Of an even extent that is no power of 2 its convolutions make the power below.
        1 << (extent.bit_length() - 1) if extra_params and extent else extent,
        extra_params,
        use_mlp,
        size=tuple(feat_size or ()) if learned_globally else None,  # pyright: ignore
        hidden=rd_channels or divisible_width(channels * rd_ratio, rd_divisor, keep=0),
        norm=norm,
        add_max=add_maxpool,
        act=activation_name(act_layer),
        gate=activation_name(gate_layer),
    )
    names = {"mlp.fc1": "mix.0", "mlp.fc2": "mix.2"}
    if learned_globally:
        # Its kernel as large as the map slides over a padded map, and gives a map of weights.
        kernel = state["gather.conv1.weight"].shape[2:]
        padding = tuple((side - 1) // 2 for side in kernel)
        conv = nn.Conv2d(channels, channels, kernel, padding=padding, groups=channels, bias=False)  # pyright: ignore
        module.gather = nn.Sequential(conv, BatchNorm2d(channels) if norm else nn.Identity())
        module.covers_all = False
    step = 3 if norm else 2
    for i in range(module.levels or 1):
        names |= {f"gather.conv{i + 1}": f"gather.{i * step}"}
        names |= {f"gather.norm{i + 1}": f"gather.{i * step + 1}"}
    return module, names
