"""One weight per position."""

from foveal.attention.spatial.sa_spatial import SASpatial
from foveal.attention.spatial.sge import SGE

__all__ = ["SGE", "SASpatial"]
