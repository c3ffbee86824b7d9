"""Global context as others wrote it."""

from collections.abc import Sequence

from foveal.attention.channel.gc import GC
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("gc", source="open-mmlab/mmcv mmcv/cnn/bricks/context_block.py ContextBlock")
@original("gc_avgmul", source="open-mmlab/mmcv mmcv/cnn/bricks/context_block.py ContextBlock")
def gc(
    state: State,
    in_channels: int,
    ratio: float,
    pooling_type: str = "att",
    fusion_types: Sequence[str] = ("channel_add",),
) -> Translation:
    module = GC(
        in_channels,
        hidden=int(in_channels * ratio),
        pool=pooling_type,
        fuse=[name.removeprefix("channel_") for name in fusion_types],
    )
    state.drop("conv_mask.bias")  # cancelled by the softmax
    return module, {
        "conv_mask": "score",
        "channel_add_conv": "add",
        "channel_mul_conv": "mul",
    }
