"""Products of maps summed up channel by channel, without writing the products."""

import torch
from jaxtyping import Float
from torch import Tensor

from foveal.core.types import Map


def channel_dot(a: Map, b: Map) -> Float[Tensor, "b c"]:
    """Sum over positions of the products of two maps, channel by channel.

    For a backward pass written by hand: autograd is not taken through it where it is quick.

    >>> channel_dot(torch.ones(2, 8, 5, 7), torch.ones(2, 8, 5, 7))[0, 0]
    tensor(35.)
    """
    plain = torch.is_grad_enabled() or a.dtype != b.dtype
    if plain or not (a.is_contiguous() and b.is_contiguous()):
        return torch.stack([(p * q).sum((1, 2)) for p, q in zip(a, b, strict=True)])
    # What group normalisation computes for its weight's gradient: it writes no products, and takes
    # a third of the time of a batched product of vectors.
    batch, channels, height, width = a.shape
    rows = batch * channels
    mean, inverse = a.new_zeros(1, rows), a.new_ones(1, rows)
    _, dot, _ = torch.ops.aten.native_group_norm_backward(
        a.view(1, rows, height, width),
        b.view(1, rows, height, width),
        mean,
        inverse,
        None,
        1,
        rows,
        height * width,
        rows,
        [False, True, False],
    )
    return dot.view(batch, channels)
