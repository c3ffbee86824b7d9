"""Second-order statistics of a map: how its channels vary together."""

import torch
from jaxtyping import Float
from torch import Tensor

from foveal.core.types import Map


def covariance(x: Map) -> Float[Tensor, "b c c"]:
    """Covariances of the channels over the positions, divided by N; in float32 at least.

    The mean is taken off first: a product of means taken off afterwards leaves few digits.

    >>> covariance(torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)).item()
    1.0
    """
    rows = x.to(torch.promote_types(x.dtype, torch.float32)).flatten(2)
    rows = rows - rows.mean(2, keepdim=True)
    return rows @ rows.mT / rows.shape[2]


def matrix_root(
    a: Float[Tensor, "b c c"], iterations: int = 5, eps: float = 1e-12
) -> Float[Tensor, "b c c"]:
    """The square root of covariance matrices, by Newton and Schulz's products alone.

    Li et al., Towards Faster Training of Global Covariance Pooling Networks, CVPR 2018. The trace
    is divided by, so that the iteration converges, and multiplied back; `eps` added to it lets a
    matrix of zeros be. Few iterations leave small eigenvalues short of their root.

    >>> matrix_root(torch.diag(torch.tensor([4.0, 9.0]))[None], iterations=12).sum().item()
    5.0
    """
    trace = a.diagonal(dim1=1, dim2=2).sum(1)[:, None, None] + eps
    eye = torch.eye(a.shape[1], dtype=a.dtype, device=a.device)
    y = a / trace
    z = None  # an identity at first
    for step in range(iterations):
        factor = 1.5 * eye - 0.5 * (y if z is None else z @ y)
        y = y @ factor
        if step < iterations - 1:  # nobody looks at the last
            z = factor if z is None else factor @ z
    return y * trace.sqrt()
