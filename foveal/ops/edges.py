"""Where the map ends, as its positions' neighbourhoods see it."""

import torch
from jaxtyping import Bool
from torch import Tensor


def neighbours_inside(
    height: int, width: int, kernel_size: int, dilation: int = 1, device: torch.device | None = None
) -> Bool[Tensor, "k2 h w"]:
    """Which of the k × k neighbours of each position lie on the map, in the order of
    `foveal.ops.neighbours`.

    >>> neighbours_inside(1, 2, 3)[:, 0, 0].tolist()
    [False, False, False, False, True, True, False, False, False]
    """
    steps = (torch.arange(kernel_size, device=device) - kernel_size // 2) * dilation
    rows, columns = (torch.arange(size, device=device) + steps[:, None] for size in (height, width))
    rows, columns = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
    return (rows[:, None, :, None] & columns[None, :, None, :]).flatten(0, 1)
