"""Spatial group-wise enhancement as others wrote it."""

from foveal.attention.spatial.sge import SGE
from foveal.originals.blind import any_channels
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("sge", source="implus/PytorchInsight resnet_sge.py SpatialGroupEnhance")
def sge(state: State, groups: int = 64) -> Translation:
    return any_channels(SGE(groups, groups)), {}  # of the channels it knows only the groups
