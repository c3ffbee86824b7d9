"""One weight per position."""

from foveal.attention.spatial.sa_spatial import SASpatial

__all__ = ["SASpatial"]
