"""One weight per pair of moments, for video (B, T, C, H, W)."""

__all__ = []
