"""One weight per channel and position, by which two maps share the result."""

from foveal.attention.fusion.aff import AFF
from foveal.attention.fusion.iaff import IAFF

__all__ = ["AFF", "IAFF"]
