"""Gated channel transformation as others wrote it."""

from foveal.attention.channel.gct_gated import GCTGated
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("gct", source="z-x-yang/GCT PyTorch/GCT.py GCT")
def gct(
    state: State,
    num_channels: int,
    epsilon: float = 1e-5,
    mode: str = "l2",
    after_relu: bool = False,
) -> Translation:
    return GCTGated(num_channels, mode, after_relu, epsilon), {}
