"""Multi-head self-attention as others wrote it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveal.attention.self_attention.mhsa import MHSA
from foveal.core.errors import FovealError
from foveal.originals.calls import SequenceFirst
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import same_width


class TorchMHSA(MHSA):
    """Self-attention with what `torch.nn.MultiheadAttention` can add to keys and values: other
    widths, and one more token of each, learned or zero, that every query sees."""

    def __init__(
        self,
        channels: int,
        num_heads: int,
        key_channels: int,
        value_channels: int,
        add_learned: bool,
        add_zero: bool,
        bias: bool,
        dropout: float,
    ):
        super().__init__(
            channels, num_heads, qkv_bias=bias, proj_bias=bias, attention_dropout=dropout
        )
        self.add_zero = add_zero
        self.separate = not channels == key_channels == value_channels
        if self.separate:
            widths = {"query": channels, "key": key_channels, "value": value_channels}
            del self.qkv
            self.qkv = nn.ModuleDict(
                {name: nn.Linear(width, channels, bias) for name, width in widths.items()}
            )
        shape = (1, 1, channels) if add_learned else None
        self.bias_k = nn.Parameter(torch.zeros(shape)) if shape else None
        self.bias_v = nn.Parameter(torch.zeros(shape)) if shape else None

    def _project(self, x: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.separate:
            layers = self.qkv.values()  # pyright: ignore[reportCallIssue]
            q, k, v = (
                layer(part).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
                for layer, part in zip(layers, (x, key, value), strict=True)
            )
        else:
            q, k, v = super()._project(x, key, value)
        return q, self._extended(k, self.bias_k), self._extended(v, self.bias_v)

    def _extended(self, heads: Tensor, learned: Tensor | None) -> Tensor:
        if learned is not None:
            token = learned.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            heads = torch.cat((heads, token.expand(heads.shape[0], -1, -1, -1)), dim=2)
        return F.pad(heads, (0, 0, 0, 1)) if self.add_zero else heads


@original("mhsa", source="torch.nn.MultiheadAttention")
@original("mhsa_blog", source="torch.nn.MultiheadAttention")
def mhsa(
    state: State,
    embed_dim: int,
    num_heads: int,
    dropout: float = 0.0,
    bias: bool = True,
    add_bias_kv: bool = False,
    add_zero_attn: bool = False,
    kdim: int | None = None,
    vdim: int | None = None,
    batch_first: bool = False,
    device: Any = None,
    dtype: Any = None,
) -> Translation:
    key_channels, value_channels = kdim or embed_dim, vdim or embed_dim
    names = {
        "in_proj_weight": "qkv.weight",
        "in_proj_bias": "qkv.bias",
        "out_proj": "proj",
    }
    if add_bias_kv or add_zero_attn or not embed_dim == key_channels == value_channels:
        module = TorchMHSA(
            embed_dim,
            num_heads,
            key_channels,
            value_channels,
            add_bias_kv,
            add_zero_attn,
            bias,
            dropout,
        )
        if module.separate:
            names = {
                "q_proj_weight": "qkv.query.weight",
                "k_proj_weight": "qkv.key.weight",
                "v_proj_weight": "qkv.value.weight",
                "out_proj": "proj",
            }
            if bias:
                parts = ("qkv.query.bias", "qkv.key.bias", "qkv.value.bias")
                state.update(zip(parts, state.pop("in_proj_bias").chunk(3), strict=True))
    else:
        module = MHSA(
            embed_dim, num_heads, qkv_bias=bias, proj_bias=bias, attention_dropout=dropout
        )
    if batch_first:
        return module, names
    return SequenceFirst(module), {
        "": "mechanism",
        **{their: f"mechanism.{our}" for their, our in names.items()},
    }


class TimmMHSA(MHSA):
    """Self-attention with what `timm.layers.Attention` can do to the heads: normalise them, and
    gate them by the tokens."""

    def __init__(self, channels: int, norm: nn.Module, gated: bool, **options: Any):
        super().__init__(channels, **options)
        self.norm = norm
        self.gate = nn.Linear(channels, self.value_width, self.qkv_bias) if gated else None

    def _merge(self, heads: Tensor, x: Tensor) -> Tensor:
        heads = self.norm(heads)
        return self.proj(heads if self.gate is None else heads * self.gate(x).sigmoid())


def _normalisation(layer: Any, width: int) -> nn.Module:
    """timm's normalisations by name, or whatever a class makes."""
    known = {"layernorm": nn.LayerNorm, "rmsnorm": nn.RMSNorm}
    if not isinstance(layer, str):
        return layer(width)
    name = layer.lower()
    if name not in known:
        raise FovealError(f"norm_layer={layer!r} must be one of {', '.join(known)}, or a class")
    return known[name](width, eps=1e-6)


@original("mhsa_vit", source="timm.layers.attention Attention")
def mhsa_vit(
    state: State,
    dim: int,
    num_heads: int = 8,
    attn_head_dim: int | None = None,
    dim_out: int | None = None,
    qkv_bias: bool = False,
    qk_norm: bool = False,
    scale_norm: bool = False,
    proj_bias: bool = True,
    gated: bool = False,
    attn_drop: float = 0.0,
    proj_drop: float = 0.0,
    norm_layer: Any = None,
    device: Any = None,
    dtype: Any = None,
) -> Translation:
    same_width(dim_out, dim)
    if (qk_norm or scale_norm) and norm_layer is None:
        raise FovealError("mhsa_vit: qk_norm and scale_norm need a norm_layer")
    options = {
        "num_heads": num_heads,
        "head_channels": attn_head_dim,
        "qkv_bias": qkv_bias,
        "proj_bias": proj_bias,
        "attention_dropout": attn_drop,
        "dropout": proj_drop,
    }
    if scale_norm or gated:
        inner = num_heads * (attn_head_dim or dim // num_heads)
        norm = _normalisation(norm_layer, inner) if scale_norm else nn.Identity()
        module = TimmMHSA(dim, norm, gated, **options)
    else:
        module = MHSA(dim, **options)
    if qk_norm:
        module.query_norm = _normalisation(norm_layer, module.head_channels)
        module.key_norm = _normalisation(norm_layer, module.head_channels)
    return module, {"q_norm": "query_norm", "k_norm": "key_norm"}


@original("self_attention", source="xmu-xiaoma666/External-Attention-pytorch SelfAttention.py")
def self_attention(
    state: State, d_model: int, d_k: int, d_v: int, h: int, dropout: float = 0.1
) -> Translation:
    """Its `d_k` and `d_v` are the widths of one head."""
    module = MHSA(d_model, h, d_k, d_v, qkv_bias=True, proj_bias=True, attention_dropout=dropout)
    for part in "weight", "bias":
        state.join(f"qkv.{part}", [f"fc_{name}.{part}" for name in "qkv"])
    return module, {"fc_o": "proj"}
