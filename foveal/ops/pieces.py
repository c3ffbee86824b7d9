"""Images a few at a time, where all at once would hold too much."""

from collections.abc import Callable

import torch

from foveal.core.types import Map
from foveal.ops.eager import runs_eagerly

WORTH_IT = 2**18
"""Values of a map below which a kernel's start costs more than the memory is worth."""


def in_pieces(function: Callable[[Map], Map], x: Map, pieces: int) -> Map:
    """function(x), in inference on large maps so many pieces of the batch one after the other.

    Args:
        function: treats each image by itself.
        x: a map (B, C, H, W).
        pieces: at most; as many as there are images, if they are fewer.

    >>> in_pieces(torch.neg, torch.ones(2, 3, 4, 4), 2).shape
    torch.Size([2, 3, 4, 4])
    """
    if runs_eagerly() and not torch.is_grad_enabled() and x.numel() >= WORTH_IT and len(x) > 1:
        return torch.cat([function(piece) for piece in x.chunk(pieces)])
    return function(x)
