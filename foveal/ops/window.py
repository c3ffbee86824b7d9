"""Maps cut into windows, and put together again."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from foveal.core.errors import FovealError

Size = tuple[int, int]


def pair(size: int | Size, name: str = "window_size") -> Size:
    """A height and a width from one number or from two.

    Raises:
        FovealError: if they are not positive whole numbers.

    >>> pair(7), pair((3, 5))
    ((7, 7), (3, 5))
    """
    both = (size, size) if isinstance(size, int) else tuple(size)
    if len(both) != 2 or not all(isinstance(side, int) and side > 0 for side in both):
        raise FovealError(f"{name}={size!r} must be a positive whole number, or two")
    return both[0], both[1]


def is_open(size: int) -> bool:
    """Whether a size is one that the program being exported leaves open."""
    return isinstance(size, torch.SymInt)


def padded_size(size: int, side: int) -> int:
    """The least multiple of a window's side that is not below a size.

    A size that is open in an export has two windows at least: torch takes a single one for a
    constant, and the program would refuse every map that has more.

    >>> padded_size(6, 4), padded_size(8, 4)
    (8, 8)
    """
    windows = (size + side - 1) // side
    return side * (torch.sym_max(2, windows) if is_open(size) else windows)  # pyright: ignore


def pad_to_multiple(x: Tensor, window: Size) -> Tensor:
    """Zeros below and to the right, until windows of that size tile the map (B, C, H, W).

    >>> pad_to_multiple(torch.rand(1, 8, 6, 9), (4, 4)).shape
    torch.Size([1, 8, 8, 12])
    """
    below, right = (
        padded_size(size, side) - size for size, side in zip(x.shape[2:], window, strict=True)
    )
    if is_open(x.shape[2]) or is_open(x.shape[3]):
        # One more than needed and off again, lest an export at a multiple expect multiples only.
        height, width = x.shape[2] + below, x.shape[3] + right
        return F.pad(x, (0, right + 1, 0, below + 1))[..., :height, :width]
    return F.pad(x, (0, right, 0, below)) if below or right else x


def crop(x: Tensor, height: int, width: int) -> Tensor:
    """The upper left of a map, its padding off.

    >>> crop(torch.rand(1, 8, 8, 12), 6, 9).shape
    torch.Size([1, 8, 6, 9])
    """
    if is_open(height) or is_open(width):
        x = F.pad(x, (0, 1, 0, 1))  # an export with nothing to crop would expect as much always
    return x[..., :height, :width]


def split_windows(x: Tensor, window: Size) -> Tensor:
    """The tokens of each window of neighbours: (B, C, H, W) → (B, windows, positions, C).

    >>> split_windows(torch.rand(2, 8, 6, 9), (2, 3)).shape
    torch.Size([2, 9, 6, 8])
    """
    h, w = window
    return rearrange(x, "b c (m h) (n w) -> b (m n) (h w) c", h=h, w=w)


def join_windows(windows: Tensor, window: Size, height: int) -> Tensor:
    """The map that `split_windows` took apart, `height` high.

    >>> x = torch.rand(2, 8, 6, 9)
    >>> join_windows(split_windows(x, (2, 3)), (2, 3), height=6).equal(x)
    True
    """
    h, w = window
    return rearrange(windows, "b (m n) (h w) c -> b c (m h) (n w)", h=h, w=w, m=height // h)


def split_grid(x: Tensor, grid: Size) -> Tensor:
    """The tokens that lie a fixed step apart, one for each cell of a coarse grid laid over the
    whole map: (B, C, H, W) → (B, H·W / positions, positions, C), for a grid of so many positions.

    >>> split_grid(torch.rand(2, 8, 6, 9), (2, 3)).shape
    torch.Size([2, 9, 6, 8])
    """
    h, w = grid
    return rearrange(x, "b c (h m) (w n) -> b (m n) (h w) c", h=h, w=w)


def join_grid(groups: Tensor, grid: Size, height: int) -> Tensor:
    """The map that `split_grid` took apart, `height` high.

    >>> x = torch.rand(2, 8, 6, 9)
    >>> join_grid(split_grid(x, (2, 3)), (2, 3), height=6).equal(x)
    True
    """
    h, w = grid
    return rearrange(groups, "b (m n) (h w) c -> b c (h m) (w n)", h=h, w=w, m=height // h)
