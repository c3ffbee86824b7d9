"""External attention as others wrote it."""

from typing import Any

import torch
from einops import rearrange
from torch import nn

from foveal.attention.linear.external import ExternalAttention
from foveal.core.types import Map
from foveal.ops.norm import BatchNorm2d
from foveal.originals.names import is_batch_norm
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("external", source="xmu-xiaoma666/External-Attention-pytorch ExternalAttention")
def external(state: State, d_model: int, S: int = 64) -> Translation:
    return ExternalAttention(d_model, S), {"mk": "keys", "mv": "values"}


@original("external_mh", source="MenghaoGuo/EANet multi_head_attention_torch.py Attention")
def external_mh(
    state: State,
    dim: int,
    num_heads: int = 8,
    qkv_bias: bool = False,  # never used
    qk_scale: Any = None,  # never used
    attn_drop: float = 0.0,
    proj_drop: float = 0.0,
    k: int = 64,  # written into the original
) -> Translation:
    module = ExternalAttention(
        dim, k, num_heads, eps=1e-9, attention_dropout=attn_drop, dropout=proj_drop
    )
    state.drop("trans_dims.bias", "linear_0.bias")  # cancelled by the softmax over tokens
    return module, {"trans_dims": "expand", "linear_0": "keys", "linear_1": "values"}


class EANetBlock(nn.Module):
    """External attention over the positions of a map, as EANet has it in segmentation.

    Between two 1 × 1 convolutions, with a residual and a ReLU after it.

    Shape: (B, C, H, W) → (B, C, H, W).
    """

    def __init__(self, channels: int, num_tokens: int):
        super().__init__()
        self.before = nn.Conv2d(channels, channels, 1, bias=False)
        self.mechanism = ExternalAttention(channels, num_tokens, eps=1e-9)
        self.after = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False), BatchNorm2d(channels)
        )

    def attention_map(self, x: Map) -> torch.Tensor:
        return self.mechanism.attention_map(rearrange(self.before(x), "b c h w -> b (h w) c"))

    def forward(self, x: Map) -> Map:
        tokens = rearrange(self.before(x), "b c h w -> b (h w) c")
        attended = rearrange(self.mechanism(tokens), "b (h w) c -> b c h w", h=x.shape[2])
        return torch.relu(x + self.after(attended))


@original("external_eanet", source="MenghaoGuo/EANet model_torch.py External_attention")
def external_eanet(state: State, c: int, k: int = 64, norm_layer: Any = None) -> Translation:
    is_batch_norm(norm_layer)
    state.drop("conv1.bias")  # cancelled by the softmax over positions
    return EANetBlock(c, k), {
        "conv1": "before",
        "linear_0": "mechanism.keys",
        "linear_1": "mechanism.values",
        "conv2": "after",
    }
