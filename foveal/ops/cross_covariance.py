"""Attention among channels: weights from how queries' and keys' channels vary together."""

import torch
from jaxtyping import Float
from torch import Tensor


def cosines(
    q: Float[Tensor, "*b d n"], k: Float[Tensor, "*b e n"], eps: float = 1e-12
) -> Float[Tensor, "*b d e"]:
    """q̂ k̂ᵀ, for q̂ and k̂ with every row of norm 1; in float32 at least.

    The norms are taken in float32, too, in which `eps` is not yet zero.

    >>> q = torch.rand(2, 3, 50)
    >>> cosines(q, 2 * q).diagonal(dim1=1, dim2=2).allclose(torch.ones(3))
    True
    """
    q_norm, k_norm = (_norm(part).clamp(min=eps) for part in (q, k))
    # Queries are scaled before the product, for in half precision that of many positions
    # overflows; keys after it, where there is less to scale.
    return ((q / q_norm).to(q.dtype) @ k.mT) / k_norm.mT


def cross_covariance_weights(
    q: Float[Tensor, "b heads d n"],
    k: Float[Tensor, "b heads d n"],
    temperature: Float[Tensor, "heads 1 1"],
) -> Float[Tensor, "b heads d d"]:
    """softmax(q̂ k̂ᵀ · temperature), row by row.

    >>> q, k = torch.rand(2, 2, 1, 3, 50)
    >>> cross_covariance_weights(q, k, torch.ones(1, 1, 1)).sum(-1).allclose(torch.ones(3))
    True
    """
    return (cosines(q, k) * temperature).softmax(-1).to(q.dtype)


def _norm(x: Tensor) -> Tensor:
    wide = torch.promote_types(x.dtype, torch.float32)
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide)
