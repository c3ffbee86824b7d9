"""Position-sensitive axial attention as others wrote it."""

from foveal.attention.window.axial_deeplab import AxialDeepLab
from foveal.core.errors import FovealError
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import no_stride, same_width


@original("axial_deeplab", source="csrhddlam/axial-deeplab lib/models/axialnet.py AxialAttention")
def axial_deeplab(
    state: State,
    in_planes: int,
    out_planes: int,
    groups: int = 8,
    kernel_size: int = 56,
    stride: int = 1,
    bias: bool = False,  # which it does not read
    width: bool = False,
) -> Translation:
    same_width(out_planes, in_planes)
    no_stride(stride)
    if in_planes % (2 * groups):
        raise FovealError(f"groups={groups}: {in_planes} channels must make groups of even width")
    state.drop("flatten_index", "bn_similarity.bias", "bn_similarity.num_batches_tracked")
    state.drop("bn_output.num_batches_tracked")
    for part in "weight", "running_mean", "running_var":
        scores = state.pop(f"bn_similarity.{part}").chunk(3)
        state.update({f"layers.0.score_norms.{i}.{part}": t for i, t in enumerate(scores)})
    for part in "weight", "bias", "running_mean", "running_var":
        outputs = state.pop(f"bn_output.{part}")  # values and positions alternate
        state[f"layers.0.value_norm.{part}"] = outputs[::2]
        state[f"layers.0.position_norm.{part}"] = outputs[1::2]
    names = {
        "qkv_transform": "layers.0.qkv.0",
        "bn_qkv": "layers.0.qkv.1",
        "relative": "layers.0.position",
    }
    return AxialDeepLab(in_planes, groups, kernel_size, ("width" if width else "height",)), names
