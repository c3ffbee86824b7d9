"""Frequency channel attention as others wrote it."""

import re

import torch

from foveal.attention.channel.fca import FCA
from foveal.core.errors import FovealError
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("fca", source="cfzd/FcaNet model/layer.py MultiSpectralAttentionLayer")
def fca(
    state: State,
    channel: int,
    dct_h: int,
    dct_w: int,
    reduction: int = 16,
    freq_sel_method: str = "top16",
) -> Translation:
    method = re.fullmatch(r"(top|bot|low)(1|2|4|8|16|32)", freq_sel_method)
    if method is None:
        raise FovealError(
            f"freq_sel_method={freq_sel_method!r} must be top, bot or low and 1, 2, 4, 8, 16 or 32"
        )
    state.drop("dct_layer.weight")  # the cosines, which follow from the arguments
    select, count = method.groups()
    size = (max(dct_h, 7), max(dct_w, 7))
    module = FCA(channel, size, int(count), select, hidden=channel // reduction)
    if size != (dct_h, dct_w):  # on a grid of less than seven its frequencies are all rounded to 0
        module.frequencies = module.frequencies * torch.tensor([dct_h >= 7, dct_w >= 7])
        module.height, module.width = dct_h, dct_w
    return module, {"fc.0": "squeeze", "fc.2": "excite"}
