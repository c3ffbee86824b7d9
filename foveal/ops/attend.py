"""Scaled dot-product attention: fused to compute with, formed to look at."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def attend(
    q: Float[Tensor, "*b n d"],
    k: Float[Tensor, "*b m d"],
    v: Float[Tensor, "*b m e"],
    *,
    scale: float | None = None,
    bias: Tensor | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "*b n e"]:
    """softmax(q kᵀ · scale + bias) v, without forming the N × M weights where the backend can.

    Args:
        q, k, v: queries (…, N, D), keys (…, M, D), values (…, M, E).
        scale: factor on the scores. Default: 1/√D (Vaswani et al. 2017, eq. 1).
        bias: added to the scores, broadcast to (…, N, M); −∞ masks a pair.
        dropout: probability of dropping a weight; the caller passes 0 outside training.

    >>> attend(torch.rand(2, 5, 8), torch.rand(2, 7, 8), torch.rand(2, 7, 3)).shape
    torch.Size([2, 5, 3])
    """
    return F.scaled_dot_product_attention(q, k, v, bias, dropout, scale=scale)


def attention_weights(
    q: Float[Tensor, "*b n d"],
    k: Float[Tensor, "*b m d"],
    *,
    scale: float | None = None,
    bias: Tensor | None = None,
) -> Float[Tensor, "*b n m"]:
    """The weights that `attend` gives the values: rows sum to 1. Forms N × M; for people to see."""
    scores = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    return torch.softmax(scores if bias is None else scores + bias, dim=-1)
