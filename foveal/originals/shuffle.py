"""Shuffle attention as others wrote it."""

from foveal.attention.channel_spatial.shuffle import ShuffleAttention
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("shuffle", source="wofmanaf/SA-Net models/sa_resnet.py sa_layer")
def shuffle(state: State, channel: int, groups: int = 64) -> Translation:
    return ShuffleAttention(channel, groups), {
        "cweight": "channel_weight",
        "cbias": "channel_bias",
        "sweight": "spatial_weight",
        "sbias": "spatial_bias",
        "gn": "norm",
    }


@original("shuffle_blog", source="the blog's SA")
def shuffle_blog(state: State, in_chans: int, group_num: int = 64) -> Translation:
    return ShuffleAttention(in_chans, group_num), {
        "c_w": "channel_weight",
        "c_b": "channel_bias",
        "s_w": "spatial_weight",
        "s_b": "spatial_bias",
        "gn": "norm",
    }
