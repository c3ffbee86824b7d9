"""Scores by relative position on a whole map, for queries that meet a vector for each offset."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def offset_vectors(table: Float[Tensor, "o d"], side: int) -> Float[Tensor, "side side d"]:
    """For each place along an axis of that length and each other place, the vector of the offset
    from the first to the second.

    The table has one for each of its 2s − 1 offsets, from 1 − s to s − 1; for another length it is
    interpolated, so that the furthest pair of any map meets the end of the table.

    >>> offset_vectors(torch.tensor([[-1.0], [0.0], [1.0]]), 2)[..., 0]
    tensor([[ 0.,  1.],
            [-1.,  0.]])
    """
    resized = F.interpolate(table.T[None], 2 * side - 1, mode="linear")[0].T
    places = torch.arange(side, device=table.device)
    return resized[places - places[:, None] + (side - 1)]


def with_positions(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads n d"],
    by: Float[Tensor, "b heads n d"],
    rows: Float[Tensor, "h h d"],
    columns: Float[Tensor, "w w d"],
) -> tuple[Tensor, Tensor]:
    """Queries and keys made longer by H + W numbers, so that their product is the product of q and
    k, plus that of `by` with the vectors of the two offsets from the query's place to the key's.

    A query's new numbers are its scores for each row and each column; a key's say which row and
    column it stands in. So fused attention needs no table of N × N biases.

    >>> q, k = torch.rand(1, 2, 6, 4), torch.rand(1, 2, 6, 4)
    >>> with_positions(q, k, q, torch.rand(2, 2, 4), torch.rand(3, 3, 4))[0].shape
    torch.Size([1, 2, 6, 9])
    """
    height, width = rows.shape[0], columns.shape[0]
    grid = by.unflatten(2, (height, width))
    of_rows = torch.einsum("bmhwd,hkd->bmhwk", grid, rows).flatten(2, 3)
    of_columns = torch.einsum("bmhwd,wkd->bmhwk", grid, columns).flatten(2, 3)
    row = torch.eye(height, dtype=k.dtype, device=k.device)[:, None].expand(-1, width, -1)
    column = torch.eye(width, dtype=k.dtype, device=k.device).expand(height, -1, -1)
    here = torch.cat((row, column), -1).flatten(0, 1).expand(*k.shape[:2], -1, -1)
    return torch.cat((q, of_rows, of_columns), -1), torch.cat((k, here), -1)
