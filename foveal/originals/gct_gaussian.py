"""The Gaussian context transformer by its formula: its authors published no code."""

from foveal.attention.channel.gct_gaussian import GCTGaussian
from foveal.originals.blind import any_channels
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("gct_gaussian", source="the formula of Ruan et al., CVPR 2021")
def gct_gaussian(
    state: State, channels: int | None = None, c: float = 2, eps: float = 1e-5
) -> Translation:
    return any_channels(GCTGaussian(channels or 1, c, eps=eps)), {}
