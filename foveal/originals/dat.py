"""DAT's attention as others wrote it."""

import torch
from torch import Tensor, nn

from foveal.attention.self_attention.dat import DAT
from foveal.attention.window.swin import Swin
from foveal.core.errors import FovealError
from foveal.originals.registry import Translation, original
from foveal.originals.state import State

SOURCE = "LeapLabTHU/DAT models/dat_blocks.py"
NAMES = {
    "proj_q": "query",
    "proj_k": "key",
    "proj_v": "value",
    "proj_out": "proj",
    "conv_offset.0": "near",
    "conv_offset.1.norm": "norm",
    "conv_offset.3": "offset",
}


class FixedDAT(DAT):
    """DAT with a bias for each pair of a position and a point, so that it takes no other map."""

    def __init__(self, channels: int, pairs: tuple[int, int], **options):
        super().__init__(channels, positions="none", **options)
        self.table = nn.Parameter(torch.zeros(self.num_heads, *pairs))

    def _bias(self, points: Tensor, height: int, width: int) -> Tensor:
        return self.table[None].expand(points.shape[0] // self.groups, -1, -1, -1)


@original("dat", source=f"{SOURCE} DAttentionBaseline")
def dat(
    state: State,
    q_size: tuple[int, int],
    kv_size: tuple[int, int] | None,  # not read
    n_heads: int,
    n_head_channels: int,
    n_groups: int,
    attn_drop: float,
    proj_drop: float,
    stride: int,
    offset_range_factor: float,
    use_pe: bool,
    dwc_pe: bool,
    no_off: bool,
    fixed_pe: bool,
    ksize: int,
    log_cpb: bool,
) -> Translation:
    """Its `forward` gives a tuple; this gives the tuple's first."""
    if no_off and use_pe and dwc_pe:
        raise FovealError("dat: no_off with dwc_pe fails in the original")
    height, width = q_size
    options = {
        "num_heads": n_heads,
        "groups": n_groups,
        "key_stride": stride,
        "kernel_size": ksize | 1,
        "offset_range": offset_range_factor if offset_range_factor >= 0 else None,
        "deform": not no_off,
        "attention_dropout": attn_drop,
        "dropout": proj_drop,
    }
    channels, names = n_heads * n_head_channels, dict(NAMES)
    places = use_pe and not no_off
    if places and fixed_pe and not dwc_pe:
        pairs = height * width, (height // stride) * (width // stride)
        module: DAT = FixedDAT(channels, pairs, **options)
    else:
        kind = "conv" if dwc_pe else "log" if log_cpb else "table"
        module = DAT(
            channels, positions=kind if places else "none", table_size=(height, width), **options
        )
    names["rpe_table"] = "local" if module.convs else "distance" if module.logs else "table"
    if no_off:
        state.drop(*[key for key in state if key.startswith("conv_offset.")])
    else:  # an even kernel, or one as large as the stride, has another padding than ours
        pad, near = ksize // 2 if ksize != stride else 0, module.near
        module.near = nn.Conv2d(
            near.in_channels, near.in_channels, ksize, stride, pad, groups=near.in_channels
        )
    state.drop("proj_k.bias")  # the softmax cancels it
    return module, names


@original("dat_local", source=f"{SOURCE} LocalAttention")
def dat_local(
    state: State,
    dim: int,
    heads: int,
    window_size: int | tuple[int, int],
    attn_drop: float = 0.0,
    proj_drop: float = 0.0,
) -> Translation:
    """Its `forward` gives a tuple; this gives the tuple's first."""
    module = Swin(
        dim,
        heads,
        window_size if isinstance(window_size, int) else (window_size[0], window_size[1]),
        attention_dropout=attn_drop,
        dropout=proj_drop,
    )
    state.drop("relative_position_index")
    return module, {
        "proj_qkv": "qkv",
        "proj_out": "proj",
        "relative_position_bias_table": "bias.table",
    }
