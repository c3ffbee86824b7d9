"""Global filters as others wrote them."""

from torch import Tensor, nn

from foveal.attention.self_attention.gfnet import GFNet
from foveal.core.layout import OnTokens
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


class OnSquare(nn.Module):
    """Called as the authors call theirs: `m(x)` for tokens of a square, or `m(x, (H, W))`."""

    def __init__(self, mechanism: nn.Module):
        super().__init__()
        self.mechanism = mechanism

    def forward(self, x: Tensor, spatial_size: tuple[int, int] | None = None) -> Tensor:
        return OnTokens(self.mechanism, spatial_size)(x)

    def attention_map(self, x: Tensor, spatial_size: tuple[int, int] | None = None) -> Tensor:
        return OnTokens(self.mechanism, spatial_size).attention_map(x)


@original("gfnet", source="raoyongming/GFNet gfnet.py GlobalFilter")
def gfnet(state: State, dim: int, h: int = 14, w: int = 8) -> Translation:
    """Its `w` is the number of frequencies along a row."""
    state["complex_weight"] = state["complex_weight"].permute(3, 2, 0, 1)
    module = GFNet(dim, table_size=(h, max(1, 2 * (w - 1))))
    return OnSquare(module), {"complex_weight": "mechanism.weight"}
