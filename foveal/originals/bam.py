"""BAM as others wrote it."""

from foveal.attention.channel_spatial.bam import BAM
from foveal.originals.registry import Translation, original
from foveal.originals.state import State

_SOURCE = "Jongchan/attention-module MODELS/bam.py BAM"


@original("bam", source=_SOURCE)
def bam(
    state: State,
    gate_channel: int,
    reduction_ratio: int = 16,
    num_layers: int = 1,
    dilation_conv_num: int = 2,
    dilation_val: int = 4,
    combine: str = "product",
) -> Translation:
    """The original takes `gate_channel` alone; the others are its ChannelGate's and SpatialGate's,
    for those who changed them there."""
    module = BAM(
        gate_channel, reduction_ratio, dilation_val, num_layers, dilation_conv_num, combine=combine
    )
    channel, spatial = "channel_att.gate_c.gate_c", "spatial_att.gate_s.gate_s"
    layers = [(f"{channel}_fc_{i}", f"{channel}_bn_{i + 1}") for i in range(num_layers)]
    convs = [(f"{spatial}_conv_reduce0", f"{spatial}_bn_reduce0")]
    convs += [(f"{spatial}_conv_di_{i}", f"{spatial}_bn_di_{i}") for i in range(dilation_conv_num)]
    names = {
        f"{channel}_fc_final": f"channel.{3 * len(layers)}",
        f"{spatial}_conv_final": f"spatial.{3 * len(convs)}",
    }
    for branch, stages in ("channel", layers), ("spatial", convs):
        for i, (layer, norm) in enumerate(stages):
            state.absorb_bias(layer, norm)
            names |= {layer: f"{branch}.{3 * i}", norm: f"{branch}.{3 * i + 1}"}
    return module, names


@original("bam_paper", source=f"{_SOURCE}, with the paper's sum")
def bam_paper(
    state: State,
    gate_channel: int,
    reduction_ratio: int = 16,
    num_layers: int = 1,
    dilation_conv_num: int = 2,
    dilation_val: int = 4,
) -> Translation:
    return bam(
        state, gate_channel, reduction_ratio, num_layers, dilation_conv_num, dilation_val, "sum"
    )
