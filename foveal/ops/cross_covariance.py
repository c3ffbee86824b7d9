"""Attention among channels: weights from how queries' and keys' channels vary together."""

import torch
from jaxtyping import Float
from torch import Tensor


def cross_covariance_weights(
    q: Float[Tensor, "b heads d n"],
    k: Float[Tensor, "b heads d n"],
    temperature: Float[Tensor, "heads 1 1"],
    eps: float = 1e-12,
) -> Float[Tensor, "b heads d d"]:
    """softmax(q̂ k̂ᵀ · temperature), for q̂ and k̂ with every channel of norm 1 over the positions.

    The norms are taken in float32 at least, in which `eps` is not yet zero.

    >>> q, k = torch.rand(2, 2, 1, 3, 50)
    >>> cross_covariance_weights(q, k, torch.ones(1, 1, 1)).sum(-1).allclose(torch.ones(3))
    True
    """
    q_norm, k_norm = (_norm(part).clamp(min=eps) for part in (q, k))
    # Queries are scaled before the product, for in half precision that of many positions
    # overflows; keys after it, where there is less to scale.
    scores = (q / q_norm).to(q.dtype) @ k.mT
    return (scores * (temperature / k_norm.mT)).softmax(-1).to(q.dtype)


def _norm(x: Tensor) -> Tensor:
    wide = torch.promote_types(x.dtype, torch.float32)
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide)
