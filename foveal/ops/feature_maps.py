"""Attention whose weights are products of positive features, so that pairs are never formed."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from foveal.core.errors import FovealError, did_you_mean


def elu_plus_one(x: Tensor) -> Tensor:
    """elu(x) + 1: positive everywhere, so that no token is left without weights."""
    return F.elu(x) + 1


FEATURE_MAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": elu_plus_one,
    "leaky_relu": F.leaky_relu,
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "square": torch.square,
}


def feature_map(name: str) -> Callable[[Tensor], Tensor]:
    """The map from queries and keys to features, by name; `"elu"` is elu(x) + 1.

    Apply it before the heads are split: behind a transposition, PyTorch compiles the backward pass
    of several of these for another order in memory than it meets.

    Raises:
        FovealError: if there is none; near names are suggested.

    >>> feature_map("relu")(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    if name not in FEATURE_MAPS:
        raise FovealError(
            f"there is no feature map {name!r}{did_you_mean(str(name), FEATURE_MAPS)} "
            f"Known: {', '.join(FEATURE_MAPS)}"
        )
    return FEATURE_MAPS[name]


def linear_attend(
    q: Float[Tensor, "*b n d"],
    k: Float[Tensor, "*b m d"],
    v: Float[Tensor, "*b m e"],
    *,
    eps: float = 1e-6,
    least: float = 0.0,
) -> Float[Tensor, "*b n e"]:
    """q (kᵀ v) over each row's sum q Σk: attention at a cost linear in N and M.

    The sums over the keys are taken as means, and in float32 at the least: they do not grow with
    the number of keys, so half precision does not overflow.

    Multiply-adds: M·D·(E + 2) + N·(D·E + D + E + 1) for each head, with `eps`.

    Args:
        q, k: features of the queries (…, N, D) and of the keys (…, M, D), not the raw projections;
            for weights that are shares, none of them negative.
        v: values (…, M, E).
        eps: added to each row's sum.
        least: the row's sum is raised to it, where it is smaller.

    >>> linear_attend(torch.rand(2, 5, 8), torch.rand(2, 7, 8), torch.rand(2, 7, 3)).shape
    torch.Size([2, 5, 3])
    """
    wide = torch.promote_types(q.dtype, torch.float32)
    count = k.shape[-2]
    shares = k.to(wide) / count
    summed = q.to(wide) @ (shares.mT @ v.to(wide))
    total = (q.to(wide) @ shares.sum(-2)[..., None]).to(wide)  # autocast narrows products
    total = total if not eps else total + total.new_full((), eps) / count
    total = total if not least else total.maximum(total.new_full((), least) / count)
    return (summed.to(wide) / total).to(v.dtype)


def linear_weights(
    q: Float[Tensor, "*b n d"],
    k: Float[Tensor, "*b m d"],
    *,
    eps: float = 1e-6,
    least: float = 0.0,
) -> Float[Tensor, "*b n m"]:
    """The weights that `linear_attend` gives the values: rows sum to 1, less what `eps` and `least`
    take. Forms N × M.

    >>> weights = linear_weights(torch.rand(2, 5, 8), torch.rand(2, 7, 8))
    >>> weights.sum(-1).allclose(torch.ones(5))
    True
    """
    wide = torch.promote_types(q.dtype, torch.float32)
    scores = q.to(wide) @ k.to(wide).mT
    total = scores.sum(-1, keepdim=True) + eps
    return (scores / (total.clamp_min(least) if least else total)).to(q.dtype)
