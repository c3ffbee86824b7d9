"""MUSE's attention as others wrote it."""

import torch.nn.functional as F
from torch import Tensor, nn

from foveal.attention.self_attention.muse import MUSE
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


class OnLine(nn.Module):
    """Let a mechanism over maps take sequences (B, N, C): each is a map of a single row."""

    def __init__(self, mechanism: nn.Module):
        super().__init__()
        self.mechanism = mechanism

    def forward(self, *tokens: Tensor) -> Tensor:
        return self.mechanism(*(t.mT[:, :, None] for t in tokens))[:, :, 0].mT

    def attention_map(self, x: Tensor) -> Tensor:
        return self.mechanism.attention_map(x.mT[:, :, None])  # pyright: ignore


@original("muse", source="xmu-xiaoma666/External-Attention-pytorch MUSEAttention.py MUSEAttention")
def muse(
    state: State, d_model: int, d_k: int, d_v: int, h: int, dropout: float = 0.1
) -> Translation:
    """With the softmax of the shares taken afresh in each call; the original overwrites them."""
    module = MUSE(d_model, h, d_k, d_v, attention_dropout=dropout)
    names = {"fc_q": "query", "fc_k": "key", "fc_v": "value", "fc_o": "proj", "dy_paras": "shares"}
    for i, size in enumerate((1, 3, 5)):
        names |= {f"conv{size}.depth_conv": f"near.{i}", f"conv{size}.pointwise_conv": f"out.{i}"}
        if size > 1:  # a map of one row meets the middle row of a square kernel alone
            key, edge = f"conv{size}.depth_conv.weight", size // 2
            state[key] = F.pad(state[key][:, :, None], (0, 0, edge, edge))
    state.drop("fc_k.bias")  # the softmax cancels it
    return OnLine(module), {their: f"mechanism.{our}" for their, our in names.items()}
