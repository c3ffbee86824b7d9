"""One weight per value, or one per channel and one per position."""

from foveal.attention.channel_spatial.bam import BAM
from foveal.attention.channel_spatial.cbam import CBAM
from foveal.attention.channel_spatial.coord import CoordinateAttention
from foveal.attention.channel_spatial.cpca import CPCA
from foveal.attention.channel_spatial.danet import DANet
from foveal.attention.channel_spatial.ela import ELA
from foveal.attention.channel_spatial.ema_multiscale import EfficientMultiScaleAttention
from foveal.attention.channel_spatial.gam import GAM
from foveal.attention.channel_spatial.mca_collaborative import CollaborativeAttention
from foveal.attention.channel_spatial.mlca import MLCA
from foveal.attention.channel_spatial.ms_cam import MSCAM
from foveal.attention.channel_spatial.nam import NAM
from foveal.attention.channel_spatial.polarized import PolarizedAttention
from foveal.attention.channel_spatial.scsa import SCSA
from foveal.attention.channel_spatial.scse import SCSE
from foveal.attention.channel_spatial.shuffle import ShuffleAttention
from foveal.attention.channel_spatial.simam import SimAM
from foveal.attention.channel_spatial.triplet import TripletAttention

__all__ = [
    "BAM",
    "CBAM",
    "CPCA",
    "ELA",
    "GAM",
    "MLCA",
    "MSCAM",
    "NAM",
    "SCSA",
    "SCSE",
    "CollaborativeAttention",
    "CoordinateAttention",
    "DANet",
    "EfficientMultiScaleAttention",
    "PolarizedAttention",
    "ShuffleAttention",
    "SimAM",
    "TripletAttention",
]
