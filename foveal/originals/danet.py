"""Dual attention and its halves as others wrote them."""

from foveal.attention.channel.danet_channel import DANetChannel
from foveal.attention.channel_spatial.danet import DANet
from foveal.attention.self_attention.danet_position import DANetPosition
from foveal.originals.blind import any_channels
from foveal.originals.registry import Translation, original
from foveal.originals.state import State

_SOURCE = "junfu1115/DANet encoding/nn/da_att.py"


@original("danet_pam", source=f"{_SOURCE} PAM_Module")
def danet_pam(state: State, in_dim: int) -> Translation:
    state.drop("key_conv.bias")  # cancelled by the softmax
    return DANetPosition(in_dim), {
        "query_conv": "query",
        "key_conv": "key",
        "value_conv": "value",
    }


@original("danet_cam", source=f"{_SOURCE} CAM_Module")
def danet_cam(state: State, in_dim: int) -> Translation:
    return any_channels(DANetChannel(in_dim)), {}


@original("danet", source=f"{_SOURCE} PAM_Module + CAM_Module")
def danet(state: State, in_dim: int) -> Translation:
    state.drop("pam.key_conv.bias")
    return DANet(in_dim), {
        "pam.query_conv": "position.query",
        "pam.key_conv": "position.key",
        "pam.value_conv": "position.value",
        "pam": "position",
        "cam": "channel",
    }


@original("danet_blog", source="the blog's DualAttention")
def danet_blog(state: State, in_chans: int) -> Translation:
    state.drop("pam.k.bias")
    return DANet(in_chans), {
        "pam.q": "position.query",
        "pam.k": "position.key",
        "pam.v": "position.value",
        "pam": "position",
        "cam": "channel",
    }
