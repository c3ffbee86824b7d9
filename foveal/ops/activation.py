"""Activations by name, so that an option can be written down in a plan or a record."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from foveal.core.errors import FovealError, did_you_mean


class QuickGELU(nn.Module):
    """x · σ(1.702 x), the GELU of CLIP."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (1.702 * x).sigmoid()


class HardMish(nn.Module):
    """x · min(max(x + 2, 0), 2) / 2, a Mish of straight lines."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x * (x + 2).clamp(0, 2)


_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "celu": nn.CELU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "hard_mish": HardMish,
    "hard_sigmoid": nn.Hardsigmoid,
    "hard_swish": nn.Hardswish,
    "identity": nn.Identity,
    "leaky_relu": nn.LeakyReLU,
    "mish": nn.Mish,
    "prelu": nn.PReLU,
    "quick_gelu": QuickGELU,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


def activation(name: str) -> nn.Module:
    """The activation of that name. `"prelu"` alone has a parameter, its slope.

    Raises:
        FovealError: if there is none; near names are suggested.

    >>> activation("hard_sigmoid")
    Hardsigmoid()
    """
    if name not in _ACTIVATIONS:
        raise FovealError(
            f"there is no activation {name!r}{did_you_mean(str(name), _ACTIVATIONS)} "
            f"Known: {', '.join(_ACTIVATIONS)}"
        )
    return _ACTIVATIONS[name]()
