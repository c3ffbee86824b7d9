"""A convolution whose kernels are each image's own."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def convolve_images(
    x: Float[Tensor, "b c h w"],
    kernels: Float[Tensor, "b o i k k"],
    bias: Float[Tensor, "b o"] | None = None,
    groups: int = 1,
) -> Float[Tensor, "b o h w"]:
    """Convolve each image with its own kernels; zeros lie beyond the edge, the size is kept.

    The images become groups of one convolution. An exported program is not told how many images
    there will be, and the number of groups must be, so there it is a matrix product for each tap.

    Args:
        x: maps (B, C, H, W).
        kernels: (B, O, C / groups, k, k), k odd.
        bias: (B, O).
        groups: of each image's convolution.

    >>> convolve_images(torch.rand(2, 8, 5, 7), torch.rand(2, 4, 8, 3, 3)).shape
    torch.Size([2, 4, 5, 7])
    """
    images, outputs, _, k, _ = kernels.shape
    if torch.compiler.is_exporting() or torch.jit.is_tracing():  # pyright: ignore
        return _convolve_by_taps(x, kernels, bias, groups)
    y = F.conv2d(
        x.reshape(1, -1, *x.shape[2:]),
        kernels.flatten(0, 1),
        None if bias is None else bias.flatten(),
        padding=k // 2,
        groups=images * groups,
    )
    return y.view(images, outputs, *x.shape[2:])


def _convolve_by_taps(x: Tensor, kernels: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    k, (height, width) = kernels.shape[-1], x.shape[2:]
    padded = F.pad(x, (k // 2,) * 4).unflatten(1, (groups, -1))
    kernels = kernels.unflatten(1, (groups, -1))  # (B, groups, O / groups, C / groups, k, k)
    products = [
        kernels[..., r, s] @ padded[..., r : r + height, s : s + width].flatten(3)
        for r in range(k)
        for s in range(k)
    ]
    y = sum(products[1:], products[0]).flatten(1, 2).unflatten(2, (height, width))
    return y if bias is None else y + bias[..., None, None]
