"""One weight per pair between two inputs."""

from foveal.attention.cross.cross_attention import CrossAttention
from foveal.attention.cross.ms_deform import MSDeform

__all__ = ["CrossAttention", "MSDeform"]
