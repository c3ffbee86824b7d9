"""One weight per channel."""

from foveal.attention.channel.bam_channel import BAMChannel
from foveal.attention.channel.ca_channel import CAChannel
from foveal.attention.channel.danet_channel import DANetChannel
from foveal.attention.channel.dhsa import DHSA
from foveal.attention.channel.eca import ECA
from foveal.attention.channel.ese import ESE
from foveal.attention.channel.fca import FCA
from foveal.attention.channel.gc import GC
from foveal.attention.channel.gct_gated import GCTGated
from foveal.attention.channel.gct_gaussian import GCTGaussian
from foveal.attention.channel.ge import GE
from foveal.attention.channel.gsop import GSoP
from foveal.attention.channel.lct import LCT
from foveal.attention.channel.mdta import MDTA
from foveal.attention.channel.se import SE
from foveal.attention.channel.seam import SEAM
from foveal.attention.channel.soca import SOCA
from foveal.attention.channel.srm import SRM
from foveal.attention.channel.xca import XCA

__all__ = [
    "DHSA",
    "ECA",
    "ESE",
    "FCA",
    "GC",
    "GE",
    "LCT",
    "MDTA",
    "SE",
    "SEAM",
    "SOCA",
    "SRM",
    "XCA",
    "BAMChannel",
    "CAChannel",
    "DANetChannel",
    "GCTGated",
    "GCTGaussian",
    "GSoP",
]
