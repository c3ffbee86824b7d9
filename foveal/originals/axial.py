"""Axial attention as others wrote it."""

from torch import Tensor, nn

from foveal.attention.window.axial import Axial
from foveal.core.errors import FovealError
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


class ChannelsAt(nn.Module):
    """Let a mechanism over maps take them with their channels on any axis but the first."""

    def __init__(self, mechanism: nn.Module, axis: int):
        super().__init__()
        self.mechanism, self.axis = mechanism, axis

    def forward(self, x: Tensor) -> Tensor:
        return self.mechanism(x.movedim(self.axis, 1)).movedim(1, self.axis)

    def attention_map(self, x: Tensor) -> Tensor:
        return self.mechanism.attention_map(x.movedim(self.axis, 1))  # pyright: ignore


@original("axial", source="lucidrains/axial-attention AxialAttention")
def axial(
    state: State,
    dim: int,
    num_dimensions: int = 2,
    heads: int = 8,
    dim_heads: int | None = None,
    dim_index: int = -1,
    sum_axial_out: bool = True,
) -> Translation:
    axis = dim_index if dim_index > 0 else dim_index + 4
    if num_dimensions != 2 or axis not in (1, 2, 3):
        raise FovealError(
            f"num_dimensions={num_dimensions}, dim_index={dim_index}: only maps of two dimensions, "
            "with their channels on an axis other than the batch's, can be loaded"
        )
    names = {}
    for i, name in enumerate(("column", "row")):
        theirs, ours = f"axial_attentions.{i}.fn", f"mechanism.{name}"
        state.join(f"{ours}.qkv.weight", [f"{theirs}.to_{part}.weight" for part in ("q", "kv")])
        names[f"{theirs}.to_out"] = f"{ours}.proj"
    return ChannelsAt(Axial(dim, heads, dim_heads, together=sum_axial_out), axis), names
