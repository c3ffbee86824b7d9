"""Separable self-attention as others wrote it."""

from typing import Any

from einops import rearrange
from torch import Tensor, nn

from foveal.attention.linear.mobilevitv2 import MobileViTv2
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


class OnPatches(nn.Module):
    """Let a mechanism over tokens take patches: the pixels at one place in all patches are a set.

    Shape: (B, C, pixels of a patch, patches) → the same.
    """

    def __init__(self, mechanism: nn.Module):
        super().__init__()
        self.mechanism = mechanism

    def forward(self, x: Tensor, x_prev: Tensor | None = None) -> Tensor:
        tokens, batch = _sets(x), x.shape[0]
        y = self.mechanism(tokens) if x_prev is None else self.mechanism(tokens, _sets(x_prev))
        return rearrange(y, "(b p) n c -> b c p n", b=batch)

    def attention_map(self, x: Tensor) -> Tensor:
        return self.mechanism.attention_map(_sets(x))  # pyright: ignore


def _sets(x: Tensor) -> Tensor:
    return rearrange(x, "b c p n -> (b p) n c")


@original("mobilevitv2", source="apple/ml-cvnets layers/linear_attention.py LinearSelfAttention")
def mobilevitv2(
    state: State,
    embed_dim: int,
    attn_dropout: float = 0.0,
    bias: bool = True,
    opts: Any = None,  # of its training script
) -> Translation:
    for part in ("weight", "bias") if bias else ("weight",):
        parts = state.pop(f"qkv_proj.block.conv.{part}").split((1, embed_dim, embed_dim))
        state.update({f"mechanism.{name}.{part}": t for name, t in zip(_PARTS, parts, strict=True)})
    state.drop("mechanism.score.bias")
    module = MobileViTv2(embed_dim, bias, attention_dropout=attn_dropout)
    return OnPatches(module), {"out_proj.block.conv": "mechanism.proj"}


_PARTS = ("score", "key", "value")


@original("mobilevitv2_xmu", source="xmu-xiaoma666/External-Attention-pytorch MobileViTv2Attention")
def mobilevitv2_xmu(state: State, d_model: int) -> Translation:
    """It does not rectify the values."""
    state.drop("fc_i.bias")
    names = {"fc_i": "score", "fc_k": "key", "fc_v": "value", "fc_o": "proj"}
    return MobileViTv2(d_model, act="identity"), names
