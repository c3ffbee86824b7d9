"""One weight per channel."""

from foveal.attention.channel.eca import ECA

__all__ = ["ECA"]
