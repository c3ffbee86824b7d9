"""Small products with a large map, whose gradients by the map are added up as they are made.

Autograd, left to itself, writes the gradient by the map of each product and adds the results.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from foveal.ops.eager import runs_eagerly


def read_positions(
    tokens: Float[Tensor, "b c n"], weights: Float[Tensor, "b k n"]
) -> tuple[Float[Tensor, "b c k"], Float[Tensor, "b c n"]]:
    """Weighted sums over the positions, and the tokens again, for whoever reads them next.

    >>> read_positions(torch.ones(1, 2, 5), torch.ones(1, 1, 5))[0].flatten()
    tensor([5., 5.])
    """
    found, tokens = _read(tokens.mT, weights)
    return found.mT, tokens.mT


def read_channels(
    tokens: Float[Tensor, "b c n"], weights: Float[Tensor, "b k c"]
) -> tuple[Float[Tensor, "b k n"], Float[Tensor, "b c n"]]:
    """Weighted sums over the channels, and the tokens again, for whoever reads them next.

    >>> read_channels(torch.ones(1, 2, 5), torch.ones(1, 1, 2))[0].flatten()
    tensor([2., 2., 2., 2., 2.])
    """
    return _read(tokens, weights)


def add_product(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """x + a @ b, in batches, multiplied from the side that x has in memory, or torch copies x.

    >>> add_product(torch.ones(1, 2, 3), torch.ones(1, 2, 4), torch.ones(1, 4, 3)).unique()
    tensor([5.])
    """
    if x.is_contiguous():
        return torch.baddbmm(x, a, b)
    return torch.baddbmm(x.mT, b.mT, a.mT).mT


def _read(x: Float[Tensor, "b m n"], weights: Float[Tensor, "b k m"]) -> tuple[Tensor, Tensor]:
    """(weights @ x, x). With the small one to the left the product is quick in any order of x."""
    if torch.is_grad_enabled() and x.requires_grad and runs_eagerly():
        return _Read.apply(x, weights)  # pyright: ignore[reportReturnType]
    return weights @ x, x


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, weights)
        return weights @ x, x.view_as(x)

    @staticmethod
    def backward(ctx: Any, of_found: Tensor, of_x: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore
        x, weights = ctx.saved_tensors
        return add_product(of_x, weights.mT, of_found), of_found @ x.mT
