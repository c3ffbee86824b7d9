"""One weight per position."""

from foveal.attention.spatial.bam_spatial import BAMSpatial
from foveal.attention.spatial.caa import CAA
from foveal.attention.spatial.dlka import DLKA
from foveal.attention.spatial.lka import LKA
from foveal.attention.spatial.lsk import LSK
from foveal.attention.spatial.lska import LSKA
from foveal.attention.spatial.msca import MSCA
from foveal.attention.spatial.sa_spatial import SASpatial
from foveal.attention.spatial.scse_spatial import SCSESpatial
from foveal.attention.spatial.sge import SGE
from foveal.attention.spatial.strip_pool import StripPool

__all__ = [
    "CAA",
    "DLKA",
    "LKA",
    "LSK",
    "LSKA",
    "MSCA",
    "SGE",
    "BAMSpatial",
    "SASpatial",
    "SCSESpatial",
    "StripPool",
]
