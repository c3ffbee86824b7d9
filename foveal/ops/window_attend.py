"""Attention inside each window of a map whose size the windows need not divide."""

from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from foveal.ops.attend import attend, attention_weights
from foveal.ops.window import (
    Size,
    crop,
    is_open,
    join_windows,
    pad_to_multiple,
    padded_size,
    split_windows,
)


def shift_of(size: int, side: int, shift: int) -> int:
    """The shift along one axis: none where the whole axis lies in one window.

    >>> shift_of(14, 7, 3), shift_of(7, 7, 3)
    (3, 0)
    """
    windows = (size + side - 1) // side
    return shift * ((2 * windows - 2) // windows)  # 0 for one window, 1 for more; no branch


def roll_map(x: Tensor, rows: int, columns: int) -> Tensor:
    """Move a map (B, C, H, W) up and to the left; what leaves it comes in at the other end.

    >>> roll_map(torch.arange(4.0).view(1, 1, 1, 4), 0, 1).flatten().tolist()
    [1.0, 2.0, 3.0, 0.0]
    """
    if not is_open(rows) and not is_open(columns):
        return torch.roll(x, (-rows, -columns), (2, 3)) if rows or columns else x
    height, width = x.shape[2:]  # exporters know no roll by a number that is open
    x = torch.cat((x, x), 2).narrow(2, rows % height, height)
    return torch.cat((x, x), 3).narrow(3, columns % width, width)


def window_mask(
    height: int, width: int, window: Size, shift: Size = (0, 0), device: torch.device | None = None
) -> Bool[Tensor, "windows n n"] | None:
    """Which pairs of each window belong together: not a position and padding, and not two
    positions that only the roll by `shift` has brought together.

    Padding belongs to padding, so that no row is empty. None where every pair belongs together.

    >>> window_mask(8, 8, (4, 4)) is None
    True
    >>> window_mask(1, 3, (1, 2))[1].tolist()
    [[True, False], [False, True]]
    """
    sizes = height, width
    whole = not any(is_open(s) or s % side for s, side in zip(sizes, window, strict=True))
    if whole and shift == (0, 0):
        return None
    rows, columns = (
        _together(size, side, step, device)
        for size, side, step in zip(sizes, window, shift, strict=True)
    )
    together = rows[:, None, :, None, :, None] & columns[None, :, None, :, None, :]
    return rearrange(together, "m n h w y x -> (m n) (h w) (y x)")


def _together(size: int, side: int, shift: int, device: torch.device | None) -> Tensor:
    """Along one axis, which positions of each window belong together: (windows, side, side)."""
    padded = padded_size(size, side)
    origin = torch.arange(padded, device=device) + shift
    part = (origin >= size).int() + (origin >= padded).int()  # inside, padding, rolled round
    part = part.view(-1, side)
    return part[:, :, None] == part[:, None, :]


def attend_windows(
    q: Float[Tensor, "b m n c"],
    k: Float[Tensor, "b m k c"],
    v: Float[Tensor, "b m k e"],
    num_heads: int,
    *,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "b m n e"]:
    """Multi-head attention in each of M windows, without forming its weights where the backend can.

    Args:
        q, k, v: queries, keys and values, their channels the heads side by side.
        num_heads: heads.
        bias: added to the scores, (heads, N, K).
        mask: which keys each query sees, (M, N, K), such as `window_mask` makes; or numbers to
            add to the scores.
        scale: factor on the scores. Default: 1 / √(channels of a head).
        dropout: probability of dropping a weight; the caller passes 0 outside training.
    """
    windows = q.shape[1]
    if mask is None:  # windows are as images
        heads = (rearrange(t, "b m n (h d) -> (b m) h n d", h=num_heads) for t in (q, k, v))
        y = attend(*heads, scale=scale, bias=_both(bias, None, q), dropout=dropout)
        return rearrange(y, "(b m) h n d -> b m n (h d)", m=windows)
    # Each window has a bias of its own, all images the same: windows are as heads.
    heads = (rearrange(t, "b m n (h d) -> b (m h) n d", h=num_heads) for t in (q, k, v))
    both = _both(bias, mask, q).expand(-1, num_heads, -1, -1).flatten(0, 1)
    y = attend(*heads, scale=scale, bias=both, dropout=dropout)
    return rearrange(y, "b (m h) n d -> b m n (h d)", m=windows)


def window_weights(
    q: Float[Tensor, "b m n c"],
    k: Float[Tensor, "b m k c"],
    num_heads: int,
    *,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    scale: float | None = None,
) -> Float[Tensor, "b m heads n k"]:
    """The weights that `attend_windows` gives the values: rows sum to 1."""
    q, k = (rearrange(t, "b m n (h d) -> b m h n d", h=num_heads) for t in (q, k))
    return attention_weights(q, k, scale=scale, bias=_both(bias, mask, q))


def _both(bias: Tensor | None, mask: Tensor | None, like: Tensor) -> Any:
    """Bias and mask as one number for each pair: (M, heads, N, K), or fewer axes if fewer vary."""
    bias = None if bias is None else bias.to(like.dtype)
    if mask is None:
        return bias
    mask = mask[:, None]
    if mask.dtype != torch.bool:
        return mask.to(like.dtype) if bias is None else bias + mask.to(like.dtype)
    zero = like.new_zeros(()) if bias is None else bias
    return torch.where(mask, zero, float("-inf"))


def to_windows(
    x: Float[Tensor, "b c h w"], window: Size, shift: Size = (0, 0)
) -> tuple[Float[Tensor, "b m n c"], Bool[Tensor, "m n n"] | None]:
    """The tokens of each window of a map, padded and rolled as need be, and their `window_mask`."""
    height, width = x.shape[2:]
    shift = tuple(map(shift_of, (height, width), window, shift))  # pyright: ignore
    mask = window_mask(height, width, window, shift, x.device)
    x = roll_map(pad_to_multiple(x, window), *shift)
    return split_windows(x, window), mask


def from_windows(
    tokens: Float[Tensor, "b m n c"], window: Size, height: int, width: int, shift: Size = (0, 0)
) -> Float[Tensor, "b c h w"]:
    """The map that `to_windows` took apart."""
    rows, columns = map(shift_of, (height, width), window, shift)
    x = join_windows(tokens, window, padded_size(height, window[0]))
    return crop(roll_map(x, -rows, -columns), height, width)
