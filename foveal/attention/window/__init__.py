"""One weight per pair of positions within a window, a strip or a neighbourhood."""

__all__ = []
