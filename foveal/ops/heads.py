"""Channels shared out among heads."""

from torch import Tensor

from foveal.core.errors import FovealError
from foveal.ops.width import fitting_groups


def heads_for(channels: int, num_heads: int | None, usual: int = 8, least: int = 4) -> int:
    """The heads asked for; or the usual number, or the most below it that divide the channels.

    Unasked, no head is narrower than `least` channels: a head of one channel has nothing to match.

    Raises:
        FovealError: if the heads asked for do not divide the channels.

    >>> heads_for(64, None), heads_for(20, None), heads_for(20, 10)
    (8, 5, 10)
    """
    if num_heads is None:
        return fitting_groups(channels, max(1, min(usual, channels // least)))
    if num_heads < 1 or channels % num_heads:
        raise FovealError(
            f"channels={channels} do not divide into num_heads={num_heads}; choose a number of "
            f"heads that divides them, such as {fitting_groups(channels, max(num_heads, 1))}"
        )
    return num_heads


def head_count(channels: int, num_heads: int | None, head_channels: int = 32) -> int:
    """The heads asked for; or as many, of at least `head_channels` each, as divide the channels.

    Raises:
        FovealError: if the heads asked for do not divide the channels.

    >>> head_count(96, None), head_count(20, None), head_count(96, 4)
    (3, 1, 4)
    """
    return heads_for(channels, num_heads, usual=channels, least=head_channels)


def split_heads(tokens: Tensor, num_heads: int) -> Tensor:
    """(B, N, heads · D) → (B, heads, N, D), without a copy."""
    return tokens.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(heads: Tensor) -> Tensor:
    """(B, heads, N, D) → (B, N, heads · D)."""
    return heads.transpose(1, 2).flatten(2)
