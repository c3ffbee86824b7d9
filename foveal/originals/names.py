"""Layers that the original code takes as classes or by its own names."""

from typing import Any

from foveal.core.errors import FovealError

_OTHER_NAMES = {
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
    "leakyrelu": "leaky_relu",
    "swish": "silu",
}


def activation_name(layer: Any) -> str:
    """Our name for an activation given as timm's name or as a class; None is the identity.

    >>> activation_name("hardsigmoid"), activation_name(nn.SiLU)
    ('hard_sigmoid', 'silu')
    """
    if layer is None or layer == "":
        return "identity"
    name = (layer if isinstance(layer, str) else getattr(layer, "__name__", str(layer))).lower()
    return _OTHER_NAMES.get(name, name)


def is_batch_norm(layer: Any) -> bool:
    """Whether a normalisation given by name or as a class is the batch norm; None is none.

    Raises:
        FovealError: for another normalisation.
    """
    if layer is None:
        return False
    name = layer if isinstance(layer, str) else getattr(layer, "__name__", str(layer))
    if name.lower() not in ("batchnorm", "batchnorm2d"):
        raise FovealError(f"norm_layer={name}: only BatchNorm2d can be loaded")
    return True
