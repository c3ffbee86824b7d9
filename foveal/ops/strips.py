"""Maps cut into a given number of strips along each axis, whatever their size."""

import torch
from torch import Tensor

from foveal.ops.window import Size, is_open, pad_to_multiple


def strip_length(size: int, count: int) -> int:
    """Positions in each of `count` strips of one axis; two at least where the size is open in an
    export, for torch takes a single one for a constant.

    >>> strip_length(9, 4), strip_length(3, 4)
    (3, 1)
    """
    length = (size + count - 1) // count
    return torch.sym_max(2, length) if is_open(size) else length  # pyright: ignore


def strip_places(size: int, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where each strip's positions come from, and whether they are on the map: (count, length).

    >>> strip_places(5, 2, torch.device("cpu"))[1].tolist()
    [[True, True, True], [True, True, False]]
    """
    step = torch.arange(strip_length(size, count), device=device)
    places = torch.arange(count, device=device)[:, None] * ((size + count - 1) // count) + step
    return places, (step < (size + count - 1) // count) & (places < size)


def pad_strips(x: Tensor, counts: Size) -> Tensor:
    """Fill a map (B, C, H, W) up, until strips of equal length tile it.

    >>> pad_strips(torch.rand(1, 8, 6, 9), (4, 4)).shape
    torch.Size([1, 8, 8, 12])
    """
    if not is_open(x.shape[2]) and not is_open(x.shape[3]):
        return pad_to_multiple(x, counts)
    for axis, count in zip((2, 3), counts, strict=True):
        places, inside = strip_places(x.shape[axis], count, x.device)
        x = x.index_select(axis, torch.where(inside, places, 0).flatten())
    return x


def crop_strips(x: Tensor, counts: Size, height: int, width: int) -> Tensor:
    """The map that `pad_strips` filled up.

    >>> x = torch.rand(1, 8, 6, 9)
    >>> crop_strips(pad_strips(x, (4, 4)), (4, 4), 6, 9).equal(x)
    True
    """
    if not is_open(height) and not is_open(width):
        return x[..., :height, :width]
    for axis, count, size in zip((2, 3), counts, (height, width), strict=True):
        places, inside = strip_places(size, count, x.device)
        here = torch.arange(x.shape[axis], device=x.device)
        beyond = torch.where(inside, places, count * strip_length(size, count)).flatten()
        back = torch.cat((here, here[:1])).scatter(0, beyond, here)
        x = x.index_select(axis, back[:size])
    return x
