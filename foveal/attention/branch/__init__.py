"""One weight per branch of several."""

from foveal.attention.branch.sk import SK

__all__ = ["SK"]
