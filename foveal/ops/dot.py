"""Products of maps summed up channel by channel, without writing the products."""

import torch
from jaxtyping import Float
from torch import Tensor

from foveal.core.types import Map
from foveal.ops.order import in_turn, order_of


def channel_dot(a: Map, b: Map) -> Float[Tensor, "b c"]:
    """Sum over positions of the products of two maps, channel by channel.

    For a backward pass written by hand: autograd is not taken through it where it is quick.

    >>> channel_dot(torch.ones(2, 8, 5, 7), torch.ones(2, 8, 5, 7))[0, 0]
    tensor(35.)
    """
    quick = not torch.is_grad_enabled() and a.dtype == b.dtype
    if quick and a.is_contiguous() and b.is_contiguous():
        rows = (1, a.shape[0] * a.shape[1], *a.shape[2:])
        return _normalisation_dot(a.view(rows), b.view(rows)).view(a.shape[:2])
    last = order_of(a) == order_of(b) == torch.channels_last
    if quick and last and a.device.type == "cpu":
        pairs = zip(a.split(1), b.split(1), strict=True)
        return torch.stack([_normalisation_dot(p, q) for p, q in pairs])
    return (a * b).sum((2, 3))


def _normalisation_dot(a: Map, b: Map) -> Float[Tensor, "c"]:
    """What batch normalisation computes for its weight's gradient, with mean 0 and variance 1: it
    writes no products, and takes a third of the time of a batched product of vectors."""
    wide = torch.promote_types(a.dtype, torch.float32)
    mean, inverse = a.new_zeros(a.shape[1], dtype=wide), a.new_ones(a.shape[1], dtype=wide)
    _, dot, _ = torch.ops.aten.native_batch_norm_backward(
        a, b, None, None, None, mean, inverse, True, 0.0, [False, True, False]
    )
    return dot.to(a.dtype)


def strip_dots(
    a: Map, b: Map, rows: Float[Tensor, "b c h"], columns: Float[Tensor, "b c w"]
) -> tuple[Float[Tensor, "b c h"], Float[Tensor, "b c w"]]:
    """Sums of the products of two maps along each row, its columns weighed, and along each column,
    its rows weighed.

    For a backward pass written by hand, like `channel_dot`.

    >>> a, rows, columns = torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3), torch.ones(1, 2, 4)
    >>> along_rows, along_columns = strip_dots(a, a, rows, columns)
    >>> along_rows.unique(), along_columns.unique()
    (tensor([4.]), tensor([3.]))
    """
    if a.is_contiguous() and b.is_contiguous():
        product = a * b
        along_rows = (product @ columns[..., None])[..., 0]
        return along_rows, (rows[:, :, None] @ product)[:, :, 0]
    # Matrices would be copied; sums are quick where the channels are last in the shape, too.
    found = []
    for p, q, r, c in in_turn(a, b, rows, columns):
        product = (p * q).permute(0, 2, 3, 1)
        along_rows = (product * c.mT[:, None]).sum(2).mT
        found.append((along_rows, product.mul_(r.mT[:, :, None]).sum(1).mT))
    along_rows, along_columns = (torch.cat(parts) for parts in zip(*found, strict=True))
    return along_rows, along_columns
