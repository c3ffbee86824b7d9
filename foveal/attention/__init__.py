"""The literature, one file per mechanism, foldered by what one weight belongs to."""

from foveal.attention.channel import *  # noqa: F403
