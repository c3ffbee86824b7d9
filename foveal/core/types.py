"""The two layouts that mechanisms speak.

A mechanism's `forward` is annotated with one of them, and that annotation is the declaration:
the registry reads it, checks inputs against it, and picks the adapter that insertion needs.
"""

from jaxtyping import Float
from torch import Tensor

Map = Float[Tensor, "b c h w"]
"""A feature map: batch, channels, height, width."""

Tokens = Float[Tensor, "b n c"]
"""A set of tokens: batch, number, channels. Their order carries no meaning."""
