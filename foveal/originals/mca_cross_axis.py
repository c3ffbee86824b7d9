"""Multi-scale cross-axis attention as others wrote it."""

import torch
from torch import Tensor, nn

from foveal.attention.window.mca_cross_axis import CrossAxisAttention
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


class BiasFreeNorm(nn.Module):
    """Layer normalisation that divides by the deviation but does not take off the mean."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt() * self.weight


@original("mca_crossaxis", source="haoshao-nku/medical_seg decode_heads/MCANet.py Attention")
def mca_crossaxis(state: State, dim: int, num_heads: int, LayerNorm_type: str) -> Translation:
    module = CrossAxisAttention(dim, num_heads)
    if LayerNorm_type == "BiasFree":
        module.norm = BiasFreeNorm(dim)
    state.drop("temperature")  # never used
    names = {"norm1.body": "norm", "project_out": "proj"}
    for i in range(3):
        names |= {f"conv{i}_1": f"along_rows.{i}", f"conv{i}_2": f"along_columns.{i}"}
    return module, names
