"""Activations by name, so that an option can be written down in a plan or a record."""

from collections.abc import Callable
from functools import partial

from torch import nn

from foveal.core.errors import FovealError, did_you_mean

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "celu": nn.CELU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "hard_sigmoid": nn.Hardsigmoid,
    "hard_swish": nn.Hardswish,
    "identity": nn.Identity,
    "leaky_relu": nn.LeakyReLU,
    "mish": nn.Mish,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


def activation(name: str) -> nn.Module:
    """The activation of that name, without parameters.

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
