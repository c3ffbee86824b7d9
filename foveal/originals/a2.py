"""Double attention as others wrote it."""

from torch import nn

from foveal.attention.linear.a2 import DoubleAttention
from foveal.core.types import Map
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import same_width

_NAMES = {
    "convA": "value",
    "convB": "gather",
    "convV": "distribute",
    "conv_reconstruct": "proj",
}


@original("a2", source="nguyenvo09/Double-Attention-Network DoubleAttentionLayer")
def a2(
    state: State, in_channels: int, c_m: int, c_n: int, reconstruct: bool = False
) -> Translation:
    """Without `reconstruct` the original returns `c_m` channels."""
    state.drop("convB.bias")  # cancelled by the softmax over positions
    module = DoubleAttention(in_channels, c_m, c_n)
    if not reconstruct:
        same_width(c_m, in_channels)
        module.proj = nn.Identity()
    return module, _NAMES


class GivenOverPositions(DoubleAttention):
    """Double attention with the shares of each descriptor summing to 1 over the positions, where
    the paper has the shares of each position sum to 1 over the descriptors."""

    def _shares(self, x: Map):
        return self.distribute(x).flatten(2).softmax(-1)

    def forward(self, x: Map) -> Map:
        descriptors = self.value(self.attention_map(x) @ x.flatten(2).mT)
        given = self._shares(x).mT @ descriptors  # (B, N, hidden)
        return self.proj(given).mT.unflatten(2, x.shape[2:])


@original("a2_blog", source="the blog's DoubleAttention")
def a2_blog(
    state: State, in_channels: int, c_m: int = 128, c_n: int = 128, reconstruct: bool = True
) -> Translation:
    state.drop("convB.bias", "convV.bias")  # cancelled by the softmaxes over positions
    module = GivenOverPositions(in_channels, c_m, c_n)
    module.distribute.bias = None
    if not reconstruct:
        same_width(c_m, in_channels)
        module.proj = nn.Identity()
    return module, _NAMES
