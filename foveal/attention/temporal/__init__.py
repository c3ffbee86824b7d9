"""One weight per pair of moments, for video (B, T, C, H, W)."""

from foveal.attention.temporal.space_time import SpaceTime
from foveal.attention.temporal.temporal import Temporal

__all__ = ["SpaceTime", "Temporal"]
