"""The literature, one file per mechanism, foldered by what one weight belongs to."""

from foveal.attention.branch import SK
from foveal.attention.channel import ECA, GC, SE, CAChannel, DANetChannel
from foveal.attention.channel_spatial import (
    BAM,
    CBAM,
    CoordinateAttention,
    DANet,
    SimAM,
    TripletAttention,
)
from foveal.attention.linear import ExternalAttention
from foveal.attention.self_attention import MHSA, DANetPosition
from foveal.attention.spatial import SASpatial

__all__ = [
    "BAM",
    "CBAM",
    "ECA",
    "GC",
    "MHSA",
    "SE",
    "SK",
    "CAChannel",
    "CoordinateAttention",
    "DANet",
    "DANetChannel",
    "DANetPosition",
    "ExternalAttention",
    "SASpatial",
    "SimAM",
    "TripletAttention",
]
