"""Polarized self-attention as others wrote it."""

from foveal.attention.channel_spatial.polarized import PolarizedAttention
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import no_stride, same_width

_NAMES = {
    "conv_q_right": "score",
    "conv_v_right": "value",
    "conv_q_left": "spatial_query",
    "conv_v_left": "spatial_value",
}
_SOURCE = "DeLightCMU/PSA semantic-segmentation/network/PSA.py"


@original("polarized_p", source=f"{_SOURCE} PSA_p")
def polarized_p(
    state: State, inplanes: int, planes: int, kernel_size: int = 1, stride: int = 1
) -> Translation:
    """The original never uses its `kernel_size`."""
    same_width(planes, inplanes)
    no_stride(stride)
    return PolarizedAttention(inplanes, hidden=planes // 2), {**_NAMES, "conv_up": "up.0"}


@original("polarized_s", source=f"{_SOURCE} PSA_s")
def polarized_s(
    state: State, inplanes: int, planes: int, kernel_size: int = 1, stride: int = 1
) -> Translation:
    same_width(planes, inplanes)
    no_stride(stride)
    hidden = planes // 2
    module = PolarizedAttention(inplanes, "sequential", hidden=hidden, gate_hidden=hidden // 4)
    return module, {**_NAMES, "conv_up": "up"}


def _paper(state: State, channel: int, mode: str) -> Translation:
    state.drop("ch_wq.bias")  # cancelled by the softmax over positions
    return PolarizedAttention(channel, mode, form="paper", hidden=channel // 2, bias=True), {
        "ch_wv": "value",
        "ch_wq": "score",
        "ch_wz": "up.0",
        "ln": "up.1",
        "sp_wv": "spatial_value",
        "sp_wq": "spatial_query",
    }


_XMU = "xmu-xiaoma666/External-Attention-pytorch PolarizedSelfAttention.py"


@original("polarized_paper_parallel", source=f"{_XMU} ParallelPolarizedSelfAttention")
def polarized_paper_parallel(state: State, channel: int = 512) -> Translation:
    return _paper(state, channel, "parallel")


@original("polarized_paper_sequential", source=f"{_XMU} SequentialPolarizedSelfAttention")
def polarized_paper_sequential(state: State, channel: int = 512) -> Translation:
    return _paper(state, channel, "sequential")
