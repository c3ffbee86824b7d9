"""Non-local blocks as others wrote them."""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from einops import rearrange

from foveal.attention.self_attention.nonlocal_block import NonLocal
from foveal.core.errors import FovealError
from foveal.core.types import Map, Tokens
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import divisible_width

PORT = "AlexHex7/Non-local_pytorch lib/non_local_{}.py NONLocalBlock2D"


class PooledAfter(NonLocal):
    """A non-local block that pools keys and values after their layers, and leaves out a last odd
    row or column, as the PyTorch ports do."""

    def __init__(self, channels: int, pools: bool, **options: Any):
        super().__init__(channels, **options)
        self.pools = pools

    def _pooled(self, tokens: Tokens, like: Map) -> Tokens:
        if not self.pools:
            return tokens
        x = rearrange(tokens, "b (h w) c -> b c h w", h=like.shape[2])
        return rearrange(F.max_pool2d(x, 2), "b c h w -> b (h w) c")

    def _project(self, x: Map) -> tuple[Tokens, Tokens, Tokens]:
        q, k, v = super()._project(x)
        return q, self._pooled(k, x), self._pooled(v, x)


def _port(
    state: State, mode: str, channels: int, hidden: int | None, pools: bool, norm: bool
) -> Translation:
    module = PooledAfter(
        channels, pools, mode=mode, reduction=2, hidden=hidden or None, scale=1.0, norm=norm
    )
    last = ".0" if pools else ""
    names = {f"g{last}": "value", "theta": "query", f"phi{last}": "key"}
    names |= {"W.0": "proj", "W.1": "norm"} if norm else {"W": "proj"}
    names |= {"concat_project.0": "pair"}
    if norm:
        state.absorb_bias("W.0", "W.1")
    if module.softmaxes:  # it would cancel the bias
        state.drop(f"phi{last}.bias")
    return module, names


@original("nonlocal_gaussian", source=PORT.format("gaussian"))
def nonlocal_gaussian(
    state: State,
    in_channels: int,
    inter_channels: int | None = None,
    sub_sample: bool = True,
    bn_layer: bool = True,
) -> Translation:
    return _port(state, "gaussian", in_channels, inter_channels, sub_sample, bn_layer)


@original("nonlocal_embedded", source=PORT.format("embedded_gaussian"))
def nonlocal_embedded(
    state: State,
    in_channels: int,
    inter_channels: int | None = None,
    sub_sample: bool = True,
    bn_layer: bool = True,
) -> Translation:
    return _port(state, "embedded_gaussian", in_channels, inter_channels, sub_sample, bn_layer)


@original("nonlocal_dot", source=PORT.format("dot_product"))
def nonlocal_dot(
    state: State,
    in_channels: int,
    inter_channels: int | None = None,
    sub_sample: bool = True,
    bn_layer: bool = True,
) -> Translation:
    return _port(state, "dot", in_channels, inter_channels, sub_sample, bn_layer)


@original("nonlocal_concat", source=PORT.format("concatenation"))
def nonlocal_concat(
    state: State,
    in_channels: int,
    inter_channels: int | None = None,
    sub_sample: bool = True,
    bn_layer: bool = True,
) -> Translation:
    return _port(state, "concatenation", in_channels, inter_channels, sub_sample, bn_layer)


@original("nonlocal_mmcv", source="open-mmlab/mmcv mmcv/cnn/bricks/non_local.py NonLocal2d")
def nonlocal_mmcv(
    state: State,
    in_channels: int,
    sub_sample: bool = False,
    conv_cfg: Mapping[str, Any] | None = None,
    reduction: int = 2,
    use_scale: bool = True,
    norm_cfg: Mapping[str, Any] | None = None,
    mode: str = "embedded_gaussian",
    std: float = 0.01,  # of the first weights, as is the next
    zeros_init: bool = True,
) -> Translation:
    if (conv_cfg or {}).get("type", "Conv2d") not in ("Conv", "Conv2d"):
        raise FovealError(f"nonlocal_mmcv: conv_cfg={conv_cfg} must be of type Conv2d")
    if norm_cfg is not None and norm_cfg.get("type") not in ("BN", "BN2d", "SyncBN"):
        raise FovealError(f"nonlocal_mmcv: norm_cfg={norm_cfg} must be of type BN or None")
    scaled = use_scale and mode == "embedded_gaussian"
    module = PooledAfter(
        in_channels,
        sub_sample,
        mode={"dot_product": "dot"}.get(mode, mode),
        hidden=max(in_channels // reduction, 1),
        scale=None if scaled else 1.0,
        norm=norm_cfg is not None,
    )
    if norm_cfg is not None:
        module.norm.eps = norm_cfg.get("eps", 1e-5)
    last = ".0" if sub_sample else ""
    if module.softmaxes:
        state.drop(f"phi{last}.conv.bias")
    return module, {
        f"g{last}.conv": "value",
        "theta.conv": "query",
        f"phi{last}.conv": "key",
        "conv_out.conv": "proj",
        "conv_out.bn": "norm",
        "concat_project.conv": "pair",
    }


@original("nonlocal_timm", source="timm.layers.non_local_attn NonLocalAttn")
def nonlocal_timm(
    state: State,
    in_channels: int,
    use_scale: bool = True,
    rd_ratio: float = 1 / 8,
    rd_channels: int | None = None,
    rd_divisor: int = 8,
    device: Any = None,
    dtype: Any = None,
) -> Translation:
    hidden = (
        divisible_width(in_channels * rd_ratio, rd_divisor) if rd_channels is None else rd_channels
    )
    state.absorb_bias("z", "norm")
    state.drop("p.bias")
    scale = in_channels**-0.5 if use_scale else 1.0  # of all channels, not of the inner width
    module = NonLocal(in_channels, hidden=hidden, scale=scale)
    return module, {"t": "query", "p": "key", "g": "value", "z": "proj"}
