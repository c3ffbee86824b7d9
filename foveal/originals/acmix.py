"""ACmix as its authors wrote it."""

import torch

from foveal.attention.branch.acmix import ACmix
from foveal.core.errors import FovealError
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import no_stride, same_width


@original("acmix", source="LeapLabTHU/ACmix ResNet/test_bottleneck.py ACmix")
def acmix(
    state: State,
    in_planes: int,
    out_planes: int,
    kernel_att: int = 7,
    head: int = 4,
    kernel_conv: int = 3,
    stride: int = 1,
    dilation: int = 1,
) -> Translation:
    same_width(out_planes, in_planes)
    no_stride(stride)
    if kernel_conv != 3 or (dilation != 1 and kernel_att != 1):
        raise FovealError(
            f"acmix: with kernel_conv={kernel_conv} and dilation={dilation} the original's two "
            "paths have different sizes; only 3 and 1 can be loaded"
        )
    module = ACmix(in_planes, kernel_att, head, kernel_conv)
    # Its maps are ordered by head, then by place within the head.
    for part in "weight", "bias":
        roles = torch.stack([state.pop(f"conv{i}.{part}") for i in (1, 2, 3)])
        roles = roles.unflatten(1, (head, -1)).transpose(0, 2).transpose(1, 2)
        state[f"qkv.{part}"] = roles.flatten(0, 2)
    state.join("rates", ["rate1", "rate2"])
    state.drop("conv_p.bias", "dep_conv.bias")
    return module, {
        "conv_p": "position",
        "fc": "mix",
        "dep_conv.weight": "shift",
    }
