"""Channel prior convolutional attention as others wrote it."""

from foveal.attention.channel_spatial.cpca import CPCA
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import same_width


def _names(prefix: str) -> dict[str, str]:
    names = {"conv": "mix", "ca.fc1": "channel.0", "ca.fc2": "channel.2", f"{prefix}5_5": "local"}
    for i, k in enumerate((7, 11, 21)):
        names |= {f"{prefix}1_{k}": f"strips.{i}.0", f"{prefix}{k}_1": f"strips.{i}.1"}
    return names


@original("cpca", source="Cuthbert-Huang/CPCANet CPCANet.py RepBlock")
def cpca(
    state: State, in_channels: int, out_channels: int, channelAttention_reduce: int = 4
) -> Translation:
    same_width(out_channels, in_channels)
    return CPCA(in_channels, hidden=in_channels // channelAttention_reduce), _names("dconv")


@original("cpca_blog", source="the blog's CPCA")
def cpca_blog(state: State, in_chans: int, reduction: int = 16) -> Translation:
    return CPCA(in_chans, hidden=in_chans // reduction), _names("dwc")
