"""Heads: scores for classes from a map, so not for any place but a model's end."""

from foveal.attention.head.csra import CSRA

__all__ = ["CSRA"]
