"""Bilinear attentional transforms as others wrote them."""

from typing import Any

from foveal.attention.linear.bat import BilinearAttentionalTransform
from foveal.core.errors import FovealError
from foveal.originals.names import activation_name, is_batch_norm
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import divisible_width

_STAGES = {"conv1": "reduce", "{}.conv1": "look", "{}.conv2": "mix", "conv2": "expand"}


def _names(inner: str, conv: str, norm: str) -> dict[str, str]:
    names = {f"{inner}.conv_p": "rows", f"{inner}.conv_q": "columns"}
    for their, our in _STAGES.items():
        stage = their.format(inner)
        names |= {f"{stage}.{conv}": f"{our}.0", f"{stage}.{norm}": f"{our}.1"}
    return names


@original("bat", source="timm.layers.non_local_attn BatNonLocalAttn")
def bat(
    state: State,
    in_channels: int,
    block_size: int = 7,
    groups: int = 2,
    rd_ratio: float = 0.25,
    rd_channels: int | None = None,
    rd_divisor: int = 8,
    drop_rate: float = 0.2,
    act_layer: Any = "relu",
    norm_layer: Any = "batchnorm2d",
    device: Any = None,
    dtype: Any = None,
) -> Translation:
    if not is_batch_norm(norm_layer):
        raise FovealError("bat: a norm_layer other than BatchNorm2d is not loaded")
    width = divisible_width(in_channels * rd_ratio, rd_divisor)
    module = BilinearAttentionalTransform(
        in_channels,
        block_size,
        groups,
        hidden=width if rd_channels is None else rd_channels,
        act=activation_name(act_layer),
        dropout=drop_rate,
    )
    return module, _names("ba", "conv", "bn")


@original("bat_official", source="BA-Transform/BAT-Image-Classification non_local.py BATBlock")
def bat_official(
    state: State,
    in_channels: int,
    r: int = 2,
    s: int = 4,
    k: int = 4,
    dropout: float = 0.2,
) -> Translation:
    for stage in _STAGES:
        stage = stage.format("batransform")
        state.absorb_bias(f"{stage}.0", f"{stage}.1")
    module = BilinearAttentionalTransform(in_channels, s, k, hidden=in_channels // r,
                                          dropout=dropout)  # fmt: skip
    return module, _names("batransform", "0", "1")
