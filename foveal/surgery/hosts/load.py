"""Load a host model by a short name. Nothing is downloaded unless pretrained weights are asked for.

timm:NAME · torchvision:NAME · py:package.module:factory · builtin:small_cnn
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError, did_you_mean, require
from foveal.core.imports import import_callable
from foveal.surgery.hosts.small_cnn import small_cnn

BUILTIN: dict[str, Callable[..., nn.Module]] = {"small_cnn": small_cnn}


def load_host(
    spec: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    pretrained: bool = False,
) -> nn.Module:
    """Build a model that someone else wrote.

    Args:
        spec: `timm:NAME`, `torchvision:NAME`, `py:package.module:factory` or `builtin:small_cnn`.
        num_classes: classes of the head. Default: what the model has.
        in_channels: channels of the picture. Default: 3, and 1 for the built-in model.
        pretrained: fetch trained weights (the only case in which the network is used).

    Raises:
        FovealError: for an unknown name (near ones are said), a module that does not import, a
            factory that returns no module, or weights that could not be fetched.
        MissingExtraError: if timm or torchvision is not installed.

    >>> type(load_host("builtin:small_cnn", num_classes=4)).__name__
    'SmallCNN'
    """
    kind, name = split_spec(spec)
    if in_channels is None:
        in_channels = 1 if kind == "builtin" else 3
    if kind == "timm":
        return _timm(name, num_classes, in_channels, pretrained)
    if kind == "torchvision":
        return _torchvision(name, num_classes, in_channels, pretrained)
    if pretrained:
        raise FovealError(
            f"{spec} has no pretrained weights to fetch; let the factory of a py: model load them"
        )
    if kind == "py":
        return _from_factory(name, num_classes, in_channels)
    return small_cnn(num_classes or 10, in_channels)


def host_input(
    spec: str, size: int | None = None, batch: int = 1, in_channels: int | None = None
) -> Tensor:
    """An example input for a host: random values, the same at every call.

    Args:
        spec: as for `load_host`.
        size: height and width. Default: what timm says of the model, 16 for the built-in model,
            else 224.
        batch: images.
        in_channels: channels. Default: as for the size; 3 where nothing is said.

    >>> host_input("builtin:small_cnn", batch=2).shape
    torch.Size([2, 1, 16, 16])
    """
    kind, name = split_spec(spec)
    channels, height, width = 3, 224, 224
    if kind == "builtin":
        channels, height, width = 1, 16, 16
    elif kind == "timm":
        _check_timm(name)
        configuration = require("timm", "timm").models.get_pretrained_cfg(name)
        if configuration is not None:
            channels, height, width = configuration.input_size
    if size is not None:
        height = width = size
    shape = (batch, in_channels or channels, height, width)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def split_spec(spec: str) -> tuple[str, str]:
    """Take a host's name apart into its kind and the rest.

    Raises:
        FovealError: if the kind is unknown or the rest is missing.

    >>> split_spec("timm:resnet18")
    ('timm', 'resnet18')
    """
    kind, _, name = spec.partition(":")
    kinds = ("timm", "torchvision", "py", "builtin")
    if kind not in kinds or not name:
        if not name:
            meant = f"; did you mean timm:{kind} or torchvision:{kind}?" if kind else ""
        else:
            meant = did_you_mean(kind, kinds).rstrip(".")
        raise FovealError(
            f"model {spec!r} must be timm:NAME, torchvision:NAME, py:package.module:factory "
            f"or builtin:small_cnn{meant}"
        )
    if kind == "builtin" and name not in BUILTIN:
        raise FovealError(
            f"there is no built-in model {name!r}{did_you_mean(name, BUILTIN)} "
            f"There is: {', '.join(BUILTIN)}"
        )
    return kind, name


def _timm(name: str, num_classes: int | None, in_channels: int, pretrained: bool) -> nn.Module:
    timm = require("timm", "timm")
    _check_timm(name)
    options: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    try:
        return timm.create_model(name, pretrained=pretrained, in_chans=in_channels, **options)
    except Exception as error:
        raise FovealError(f"timm could not build {name!r}: {_short(error)}") from error


def _check_timm(name: str) -> None:
    timm = require("timm", "timm")
    if not timm.is_model(name):
        raise FovealError(
            f"timm has no model {name!r}{did_you_mean(name, timm.list_models())} "
            "(timm.list_models() lists them)"
        )


def _torchvision(
    name: str, num_classes: int | None, in_channels: int, pretrained: bool
) -> nn.Module:
    models = require("torchvision.models", "torchvision")
    names = models.list_models()
    if name not in names:
        raise FovealError(
            f"torchvision has no model {name!r}{did_you_mean(name, names)} "
            "(torchvision.models.list_models() lists them)"
        )
    builder = models.get_model_builder(name)
    # without this, detection and segmentation models fetch weights for their backbone
    options: dict[str, Any] = (
        {"weights_backbone": None}
        if not pretrained and "weights_backbone" in inspect.signature(builder).parameters
        else {}
    )
    if num_classes is not None and not pretrained:
        options["num_classes"] = num_classes
    try:
        model = builder(weights="DEFAULT" if pretrained else None, **options)
    except Exception as error:
        raise FovealError(f"torchvision could not build {name!r}: {_short(error)}") from error
    if pretrained and num_classes is not None:
        _new_head(model, num_classes, name)
    if in_channels != 3:
        _new_stem(model, in_channels, name)
    return model


def _new_head(model: nn.Module, num_classes: int, name: str) -> None:
    path = next((p for p, m in reversed([*model.named_modules()]) if isinstance(m, nn.Linear)), "")
    if not path:
        raise FovealError(
            f"torchvision:{name} ends in no linear layer, so that num_classes={num_classes} cannot "
            "be set with pretrained=True; write a py: factory"
        )
    head = model.get_submodule(path)
    assert isinstance(head, nn.Linear)
    model.set_submodule(path, nn.Linear(head.in_features, num_classes))


def _new_stem(model: nn.Module, in_channels: int, name: str) -> None:
    path = next((p for p, m in model.named_modules() if isinstance(m, nn.Conv2d)), "")
    stem = model.get_submodule(path) if path else None
    if not isinstance(stem, nn.Conv2d) or stem.in_channels != 3:
        raise FovealError(
            f"torchvision:{name} does not begin with a convolution over 3 channels, so that "
            f"in_channels={in_channels} cannot be set; write a py: factory"
        )
    new = nn.Conv2d(
        in_channels,
        stem.out_channels,
        stem.kernel_size,  # pyright: ignore[reportArgumentType]
        stem.stride,  # pyright: ignore[reportArgumentType]
        stem.padding,  # pyright: ignore[reportArgumentType]
        bias=stem.bias is not None,
    )
    model.set_submodule(path, new)


def _from_factory(name: str, num_classes: int | None, in_channels: int) -> nn.Module:
    spec = f"py:{name}"
    factory = import_callable(spec)
    try:
        model = factory(**_accepted(factory, num_classes, in_channels))
    except Exception as error:
        raise FovealError(
            f"{spec}: the factory failed: {type(error).__name__}: {_short(error)}"
        ) from error
    if not isinstance(model, nn.Module):
        raise FovealError(
            f"{spec} must return a torch.nn.Module, it returned a {type(model).__name__}"
        )
    return model


def _accepted(factory: Callable, num_classes: int | None, in_channels: int) -> dict[str, int]:
    """Those of our arguments that the factory names; the others it has settled itself."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return {}
    offered = {"in_channels": in_channels} | ({"num_classes": num_classes} if num_classes else {})
    return {key: value for key, value in offered.items() if key in parameters}


def _short(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]
