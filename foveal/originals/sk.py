"""Selective kernels as others wrote them."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from foveal.attention.branch.sk import SK
from foveal.core.errors import FovealError
from foveal.originals.names import activation_name, is_batch_norm
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import divisible_width, no_stride, same_width


@original("sk", source="timm.layers.selective_kernel SelectiveKernel")
@original("sk_3path", source="timm.layers.selective_kernel SelectiveKernel")
def sk(
    state: State,
    in_channels: int,
    out_channels: int | None = None,
    kernel_size: int | Sequence[int] | None = None,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    rd_ratio: float = 1 / 16,
    rd_channels: int | None = None,
    rd_divisor: int = 8,
    keep_3x3: bool = True,
    split_input: bool = True,
    act_layer: Any = "relu",
    norm_layer: Any = "batchnorm2d",
    aa_layer: Any = None,  # used with a stride only
    drop_layer: Any = None,
    device: Any = None,
    dtype: Any = None,
) -> Translation:
    same_width(out_channels, in_channels)
    no_stride(stride)
    if drop_layer is not None or not is_batch_norm(norm_layer):
        raise FovealError("sk: drop_layer and a norm_layer other than BatchNorm2d are not loaded")
    sizes = kernel_size or (3, 5)
    sizes = (sizes, sizes) if isinstance(sizes, int) else tuple(sizes)
    module = SK(
        in_channels,
        kernel_size=(3,) * len(sizes) if keep_3x3 else sizes,
        dilation=[dilation * (k - 1) // 2 if keep_3x3 else dilation for k in sizes],
        groups=min(in_channels, groups),
        hidden=rd_channels or divisible_width(in_channels * rd_ratio, rd_divisor),
        split_input=split_input,
        act=activation_name(act_layer),
    )
    names = {"attn.fc_reduce": "fuse.0", "attn.bn": "fuse.1", "attn.fc_select": "select"}
    for i in range(len(sizes)):
        names |= {f"paths.{i}.conv": f"paths.{i}.0", f"paths.{i}.bn": f"paths.{i}.1"}
    return module, names


@original("sk_pytorchinsight", source="implus/PytorchInsight resnet_sk.py Bottleneck's SK part")
def sk_pytorchinsight(
    state: State, planes: int, groups2: int = 32, reduction: int = 16
) -> Translation:
    module = SK(planes, dilation=(1, 1), groups=(1, groups2), hidden=planes // reduction)
    return module, {
        "conv2": "paths.0.0",
        "bn2": "paths.0.1",
        "conv2g": "paths.1.0",
        "bn2g": "paths.1.1",
        "conv_fc1": "fuse.0",
        "bn_fc1": "fuse.1",
        "conv_fc2": "select",
    }


@original("sk_xmu", source="xmu-xiaoma666/External-Attention-pytorch SKAttention.py SKAttention")
def sk_xmu(
    state: State,
    channel: int = 512,
    kernels: Sequence[int] = (1, 3, 5, 7),
    reduction: int = 16,
    group: int = 1,
    L: int = 32,
) -> Translation:
    module = SK(channel, kernels, (1,) * len(kernels), group, reduction, min_hidden=L)
    # It neither normalises nor rectifies between the two layers, both of which have biases.
    module.fuse = nn.Sequential(nn.Linear(channel, module.hidden))
    module.select = nn.Linear(module.hidden, len(kernels) * channel)
    names = {"fc": "fuse.0"}
    for i in range(len(kernels)):
        state.absorb_bias(f"convs.{i}.conv", f"convs.{i}.bn")
        names |= {f"convs.{i}.conv": f"paths.{i}.0", f"convs.{i}.bn": f"paths.{i}.1"}
    for part in "weight", "bias":
        state.join(f"select.{part}", [f"fcs.{i}.{part}" for i in range(len(kernels))])
    return module, names


@original("sk_blog", source="the blog's SK")
def sk_blog(
    state: State,
    in_chans: int,
    out_chans: int,
    num: int = 2,
    groups: int = 32,
    reduction: int = 16,
    stride: int = 1,
    fc_dilation: int = 1,  # of a 1 × 1 convolution on a 1 × 1 map
) -> Translation:
    same_width(out_chans, in_chans)
    no_stride(stride)
    names = {"fc.0.conv": "fuse.0", "fc.0.norm": "fuse.1", "fc.1": "select"}
    state.absorb_bias("fc.0.conv", "fc.0.norm")
    for i in range(num):
        state.absorb_bias(f"conv.{i}.conv", f"conv.{i}.norm")
        names |= {f"conv.{i}.conv": f"paths.{i}.0", f"conv.{i}.norm": f"paths.{i}.1"}
    # The least width is not told by the arguments; the weights tell it.
    hidden = state.width("fc.0.conv.weight")
    dilation = range(1, num + 1)
    return SK(in_chans, (3,) * num, dilation, groups, hidden=hidden), names
