"""Split attention as timm wrote it."""

from typing import Any

from torch import nn

from foveal.attention.branch.split_attn import SplitAttention
from foveal.core.errors import FovealError
from foveal.originals.names import activation_name, is_batch_norm
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import divisible_width, no_stride, same_width


@original("split", source="timm.layers.split_attn SplitAttn")
@original("split_radix1", source="timm.layers.split_attn SplitAttn")
def split(
    state: State,
    in_channels: int,
    out_channels: int | None = None,
    kernel_size: int = 3,
    stride: int = 1,
    padding: int | None = None,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
    radix: int = 2,
    rd_ratio: float = 0.25,
    rd_channels: int | None = None,
    rd_divisor: int = 8,
    act_layer: Any = "relu",
    norm_layer: Any = None,
    drop_layer: Any = None,
    padding_mode: Any = "zeros",
    device: Any = None,
    dtype: Any = None,
) -> Translation:
    same_width(out_channels, in_channels)
    no_stride(stride)
    padding = kernel_size // 2 if padding is None else padding
    if 2 * padding != dilation * (kernel_size - 1):
        raise FovealError(
            f"kernel_size={kernel_size}, dilation={dilation}, padding={padding}: a mechanism "
            "returns the shape it was given, so only 2·padding = dilation·(kernel_size − 1) loads"
        )
    if rd_channels is None:
        hidden = max(32, divisible_width(in_channels * radix * rd_ratio, rd_divisor))
    else:
        hidden = rd_channels * radix
    module = SplitAttention(
        in_channels,
        kernel_size,
        radix,
        groups,
        dilation,
        hidden=hidden,
        act=activation_name(act_layer),
    )
    names = {"bn0": "norm", "fc1": "fuse.0", "bn1": "fuse.1", "fc2": "select"}
    conv = module.conv
    conv.padding_mode = padding_mode
    drop = [] if drop_layer is None else [drop_layer()]
    if is_batch_norm(norm_layer):
        state.absorb_bias("fc1", "bn1")
        if bias:
            state.absorb_bias("conv", "bn0")
        module.norm = nn.Sequential(module.norm, *drop) if drop else module.norm
        return module, names | ({"bn0": "norm.0"} if drop else {})
    if bias:
        module.conv = nn.Conv2d(in_channels, conv.out_channels, kernel_size, 1, padding, dilation,
                                conv.groups, padding_mode=padding_mode)  # fmt: skip
    module.norm = drop[0] if drop else nn.Identity()
    module.fuse[0] = nn.Conv2d(in_channels, hidden, 1, groups=groups)
    module.fuse[1] = nn.Identity()
    return module, names
