"""Spatial and channel synergistic attention as others wrote it."""

from collections.abc import Sequence
from typing import Any

import torch

from foveal.attention.channel_spatial.scsa import SCSA
from foveal.core.errors import FovealError
from foveal.originals.registry import Translation, original
from foveal.originals.state import State

_SOURCE = "HZAI-ZJNU/SCSA mmpretrain/models/attentions/SCSA.py SCSA"


@original("scsa", source=_SOURCE)
@original("scsa_global", source=_SOURCE)
def scsa(
    state: State,
    dim: int,
    head_num: int,
    window_size: int = 7,
    group_kernel_sizes: Sequence[int] = (3, 5, 7, 9),
    qkv_bias: bool = False,
    fuse_bn: bool = False,  # never used, nor are the next two
    norm_cfg: Any = None,
    act_cfg: Any = None,
    down_sample_mode: str = "avg_pool",
    attn_drop_ratio: float = 0.0,
    gate_layer: str = "sigmoid",
) -> Translation:
    pools = {"avg_pool": "avg", "max_pool": "max"}
    if window_size != -1 and down_sample_mode not in pools:
        raise FovealError(
            f"scsa: down_sample_mode={down_sample_mode!r} must be avg_pool or max_pool; the "
            "original calls a function that it lacks for recombination"
        )
    module = SCSA(
        dim,
        head_num,
        tuple(group_kernel_sizes)[:4],
        None if window_size == -1 else window_size,
        qkv_bias,
        "avg" if window_size == -1 else pools[down_sample_mode],
        "softmax" if gate_layer == "softmax" else "sigmoid",
        attn_drop_ratio,
    )
    for part in ("weight", "bias") if qkv_bias else ("weight",):
        # Ours stand channel by channel: the query's, the key's and the value's of the first, …
        parts = [state.pop(f"{name}.{part}").flatten() for name in "qkv"]
        state[f"qkv.{part}"] = torch.stack(parts, 1).flatten()
    strips = "local_dwc", "global_dwc_s", "global_dwc_m", "global_dwc_l"
    return module, {
        **{name: f"strips.{i}" for i, name in enumerate(strips)},
        "norm_h": "row_norm",
        "norm_w": "column_norm",
        "norm.weight": "scale",
        "norm.bias": "shift",
    }
