"""Attention whose cost is linear in the number of positions: pairs are never formed."""

from foveal.attention.linear.external import ExternalAttention
from foveal.attention.linear.linear_elu import LinearELU

__all__ = ["ExternalAttention", "LinearELU"]
