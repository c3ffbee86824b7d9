"""Strip pooling as others wrote it."""

from collections.abc import Mapping, Sequence
from typing import Any

from foveal.attention.spatial.strip_pool import StripPool
from foveal.core.errors import FovealError
from foveal.originals.names import is_batch_norm
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("strip", source="houqb/SPNet models/customize.py StripPooling")
def strip(
    state: State,
    in_channels: int,
    pool_size: Sequence[int],
    norm_layer: Any,
    up_kwargs: Mapping[str, Any],
) -> Translation:
    if not is_batch_norm(norm_layer):
        raise FovealError("strip: only a norm_layer of BatchNorm2d can be loaded")
    options = {"mode": "nearest", "align_corners": False, **up_kwargs}
    if options.pop("mode") != "bilinear" or set(options) != {"align_corners"}:
        raise FovealError(f"up_kwargs={dict(up_kwargs)}: only bilinear interpolation is loaded")
    if len(pool_size) < 2:
        raise FovealError(f"pool_size={pool_size} must be two sizes")
    module = StripPool(
        in_channels,
        pool_size[:2],
        hidden=int(in_channels / 4),
        align_corners=bool(options["align_corners"]),
    )
    return module, {
        "conv1_1": "enter_grids",
        "conv1_2": "enter_strips",
        "conv2_0": "local",
        "conv2_1": "grids.0",
        "conv2_2": "grids.1",
        "conv2_3": "columns",
        "conv2_4": "rows",
        "conv2_5": "mix_grids",
        "conv2_6": "mix_strips",
        "conv3": "leave",
    }
