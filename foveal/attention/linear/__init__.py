"""Attention whose cost is linear in the number of positions: pairs are never formed."""

from foveal.attention.linear.external import ExternalAttention

__all__ = ["ExternalAttention"]
