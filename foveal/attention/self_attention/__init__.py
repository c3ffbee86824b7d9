"""One weight per pair of positions, over every pair."""

from foveal.attention.self_attention.danet_position import DANetPosition
from foveal.attention.self_attention.mhsa import MHSA

__all__ = ["MHSA", "DANetPosition"]
