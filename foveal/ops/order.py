"""The order in which maps lie in memory, and small tensors laid out as the map that they meet.

With the channels last torch walks a map in the order of memory only if the other tensor lies so,
too: else a product with gates of rows takes four times as long.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from foveal.core.types import Map


def order_of(x: Map) -> torch.memory_format:
    """`torch.channels_last` where the channels lie side by side in memory.

    >>> order_of(torch.rand(2, 8, 5, 7).to(memory_format=torch.channels_last))
    torch.channels_last
    """
    last = torch.channels_last
    one_or_other = x.is_contiguous() or not x.is_contiguous(memory_format=last)
    return torch.contiguous_format if one_or_other else last


def in_order_of(x: Map, small: Map) -> Map:
    """The small tensor, such as (B, C, H, 1), laid out as a map with the channels last is.

    >>> x = torch.rand(2, 8, 5, 7).to(memory_format=torch.channels_last)
    >>> in_order_of(x, torch.rand(2, 8, 5, 1)).stride()
    (40, 1, 8, 8)
    """
    last = order_of(x) == torch.channels_last
    return small.contiguous(memory_format=torch.channels_last) if last else small


PARTS = 8
"""Into which a batch is cut, at most."""


def in_turn(*maps: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """A few images of each at a time, so that what is laid out anew for them is soon freed; all at
    once where the first is contiguous, and nothing needs to be.

    >>> x = torch.rand(9, 8, 5, 7).to(memory_format=torch.channels_last)
    >>> [len(part) for (part,) in in_turn(x)], [len(part) for (part,) in in_turn(x.contiguous())]
    ([2, 2, 2, 2, 1], [9])
    """
    images = len(maps[0])
    count = images if maps[0].is_contiguous() else -(-images // PARTS)
    return zip(*(t.split(count) for t in maps), strict=True)
