"""CBAM and its gates as others wrote them."""

from collections.abc import Sequence

from foveal.attention.channel.ca_channel import CAChannel
from foveal.attention.channel_spatial.cbam import CBAM
from foveal.attention.spatial.sa_spatial import SASpatial
from foveal.core.errors import FovealError
from foveal.originals.blind import any_channels
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("cbam", source="Jongchan/attention-module MODELS/cbam.py CBAM")
@original("cbam_channel", source="Jongchan/attention-module MODELS/cbam.py CBAM")
def cbam(
    state: State,
    gate_channels: int,
    reduction_ratio: int = 16,
    pool_types: Sequence[str] = ("avg", "max"),
    no_spatial: bool = False,
) -> Translation:
    prefix = "" if no_spatial else "channel."
    names = {
        "ChannelGate.mlp.1": f"{prefix}squeeze",
        "ChannelGate.mlp.3": f"{prefix}excite",
        "SpatialGate.spatial": "spatial",
    }
    if no_spatial:
        return CAChannel(gate_channels, reduction_ratio, pools=pool_types), names
    return CBAM(gate_channels, reduction_ratio, pools=pool_types), names


@original("cbam_spatial", source="Jongchan/attention-module MODELS/cbam.py SpatialGate")
def cbam_spatial(state: State) -> Translation:
    return any_channels(SASpatial(1)), {"spatial": ""}


@original("cbam_xmu", source="xmu-xiaoma666/External-Attention-pytorch CBAM.py CBAMBlock")
def cbam_xmu(
    state: State, channel: int = 512, reduction: int = 16, kernel_size: int = 49
) -> Translation:
    module = CBAM(channel, reduction, kernel_size, bias=False, norm=False, residual=True)
    module.spatial = any_channels(SASpatial(1, kernel_size, norm=False, bias=True))
    return module, {"ca.se.0": "channel.squeeze", "ca.se.2": "channel.excite", "sa": "spatial"}


@original("cbam_blog", source="the blog's CBAM with mlp_chans and mlp_spaces")
def cbam_blog(
    state: State, in_chans: int, reduction: int = 16, kernel_size: int = 7, min_channels: int = 8
) -> Translation:
    if kernel_size != 7:
        raise FovealError(
            f"kernel_size={kernel_size}: this original pads by 3 whatever the size, so that only 7 "
            "returns the shape it was given"
        )
    hidden = max(in_chans // reduction, min_channels)
    module = CBAM(in_chans, kernel_size=kernel_size, hidden=hidden, bias=False, norm=False)
    state.reverse_inputs("mlp_spaces.weight")  # it stacks the mean first
    return module, {
        "mlp_chans.0": "channel.squeeze",
        "mlp_chans.2": "channel.excite",
        "mlp_spaces": "spatial.conv",
    }


@original("cbam2_blog", source="the blog's CBAMBlock")
def cbam2_blog(
    state: State, in_channels: int, reduction: int = 16, kernel_size: int = 7
) -> Translation:
    module = CBAM(in_channels, reduction, kernel_size, bias=False, norm=False)
    state.reverse_inputs("spatial_attention.conv.weight")  # it stacks the mean first
    return module, {
        "channel_attention.fc.0": "channel.squeeze",
        "channel_attention.fc.2": "channel.excite",
        "spatial_attention": "spatial",
    }
