"""Scaled dot-product attention: fused to compute with, formed to look at."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from foveal.ops.eager import runs_eagerly


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

    Backends fuse only where queries and values have the same width, so the narrower of the two is
    filled up with zeros, which add nothing to any sum. That of a CPU has no gradient by a bias:
    where one is learned the weights are formed, in fewer steps than torch takes then.

    Args:
        q, k, v: queries (…, N, D), keys (…, M, D), values (…, M, E).
        scale: factor on the scores. Default: 1/√D (Vaswani et al. 2017, eq. 1).
        bias: added to the scores, broadcast to (…, N, M); −∞ masks a pair.
        dropout: probability of dropping a weight; the caller passes 0 outside training.

    >>> attend(torch.rand(2, 5, 8), torch.rand(2, 7, 8), torch.rand(2, 7, 3)).shape
    torch.Size([2, 5, 3])
    """
    narrow, wide = q.shape[-1], v.shape[-1]
    factor: float = narrow**-0.5 if scale is None else scale
    if bias is not None and _has_no_kernel(q, bias):
        return _attend_formed(q, k, v, factor, bias, dropout)
    if narrow < wide:
        q, k = F.pad(q, (0, wide - narrow)), F.pad(k, (0, wide - narrow))
    elif wide < narrow:
        v = F.pad(v, (0, narrow - wide))
    if q.ndim == 3:  # one head; exporters know attention with an axis of heads only
        bias = bias[:, None] if bias is not None and bias.ndim == 3 else bias
        q, k, v = q[:, None], k[:, None], v[:, None]
        return F.scaled_dot_product_attention(q, k, v, bias, dropout, scale=factor)[:, 0, :, :wide]
    return F.scaled_dot_product_attention(q, k, v, bias, dropout, scale=factor)[..., :wide]


def _has_no_kernel(q: Tensor, bias: Tensor) -> bool:
    learned = torch.is_grad_enabled() and bias.requires_grad and runs_eagerly()
    return learned and q.device.type == "cpu" and q.dtype == bias.dtype and q.element_size() >= 4


def _attend_formed(
    q: Tensor, k: Tensor, v: Tensor, scale: float, bias: Tensor, dropout: float
) -> Tensor:
    pairs = (*q.shape[:-1], k.shape[-2])
    scores = torch.baddbmm(
        bias.expand(pairs).flatten(0, -3), (q * scale).flatten(0, -3), k.flatten(0, -3).mT
    )
    weights = torch.ops.aten._safe_softmax(scores, -1)  # a row that is all masked gives 0
    weights = F.dropout(weights, dropout) if dropout else weights
    return (weights @ v.flatten(0, -3)).unflatten(0, pairs[:-2])


LARGEST_SCORE = 2.0**20
"""Beyond it neighbouring numbers of float32 lie an eighth apart, which a softmax feels."""


def bounded_queries(
    q: Float[Tensor, "*b n d"], k: Float[Tensor, "*b m d"], *, scale: float | None = None
) -> Float[Tensor, "*b n d"]:
    """The queries; or, where scores might exceed `LARGEST_SCORE`, all of a head's shrunk alike.

    The backward pass of fused attention forms the scores a second time, in another order of sums,
    and divides by what the forward pass found. Scores whose last digits are worth more than 1 then
    give gradients that are not finite. Softmax over such scores picks the largest, and over the
    shrunk ones still does. No gradient flows through the factor.

    >>> q, k = torch.rand(2, 5, 8), torch.rand(2, 7, 8)
    >>> bounded_queries(q, k).equal(q), bounded_queries(q * 1e9, k).max() < 1e6
    (True, tensor(True))
    """
    wide = torch.promote_types(q.dtype, torch.float32)
    size = q.shape[-1] ** -0.5 if scale is None else abs(scale)
    with torch.no_grad():
        sizes = (t.abs().amax((-2, -1), keepdim=True).to(wide) for t in (q, k))
        most = next(sizes) * next(sizes) * (size * q.shape[-1])
        factor = (LARGEST_SCORE / most.clamp(min=LARGEST_SCORE)).to(q.dtype)
    return q * factor


def attention_weights(
    q: Float[Tensor, "*b n d"],
    k: Float[Tensor, "*b m d"],
    *,
    scale: float | None = None,
    bias: Tensor | None = None,
) -> Float[Tensor, "*b n m"]:
    """The weights that `attend` gives the values: rows sum to 1. Forms N × M.

    Scores of half-precision queries are summed in float32, where they cannot overflow.

    >>> attention_weights(torch.rand(2, 5, 8), torch.rand(2, 7, 8)).sum(-1).allclose(torch.ones(5))
    True
    """
    wide = torch.promote_types(q.dtype, torch.float32)
    scores = q.to(wide) @ k.to(wide).mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    return torch.softmax(scores if bias is None else scores + bias, dim=-1).to(q.dtype)
