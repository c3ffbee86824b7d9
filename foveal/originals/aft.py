"""Attention-free transformers as others wrote them."""

import torch
from torch import Tensor, nn

from foveal.attention.self_attention.aft import AFT
from foveal.core.errors import FovealError
from foveal.originals.calls import OnGrid
from foveal.originals.registry import Translation, original
from foveal.originals.state import State

SOURCE = "xmu-xiaoma666/External-Attention-pytorch AFT.py AFT_FULL"


class TableAFT(AFT):
    """AFT with a bias for each pair of positions, so that it takes no other number of them."""

    def __init__(self, channels: int, positions: int):
        super().__init__(channels)
        del self.factors
        self.positions = positions
        self.table = nn.Parameter(torch.ones(positions, positions))

    def _position_biases(self, height: int, width: int) -> Tensor:
        if height * width != self.positions:
            raise FovealError(
                f"this table of biases has {self.positions} positions, not {height * width}"
            )
        return self.table


@original("aft_full", source=SOURCE)
@original("aft_simple", source=SOURCE)
def aft(state: State, d_model: int, n: int = 49, simple: bool = False) -> Translation:
    names = {"fc_q": "query", "fc_k": "key", "fc_v": "value", "position_biases": "table"}
    state.drop("fc_k.bias")  # the ratio cancels it
    module = AFT(d_model, mode="simple") if simple else TableAFT(d_model, n)
    wrapped = {their: f"mechanism.{our}" for their, our in names.items()}
    return OnGrid(module, grid=(1, n)), wrapped
