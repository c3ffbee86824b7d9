"""One weight per pair between two inputs."""

from foveal.attention.cross.cross_attention import CrossAttention

__all__ = ["CrossAttention"]
