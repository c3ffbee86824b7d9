"""Mechanisms named in a model's YAML, without a channel number.

A row such as `[-1, 1, cbam, []]` or `[-1, 1, cbam, [{reduction: 8}]]` keeps the shape of the layer
that it reads, so there is no number to get wrong at another scale: channels are read off the layers
before it. The mechanism stands as a layer of its own and at full strength, as its paper has it.
"""

from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError, did_you_mean
from foveal.core.registry import list_attentions
from foveal.surgery.build import build
from foveal.surgery.example import keep_random_state
from foveal.surgery.feature import Feature
from foveal.surgery.place import Spot
from foveal.yolo.package import ultralytics


def register() -> None:
    """Let every model YAML of this process name mechanisms; a second call changes nothing.

    One function of ultralytics is replaced, `ultralytics.nn.tasks.parse_model`, by one that calls
    it and then puts the mechanisms in; for a YAML without mechanisms it is called as it stands.
    What runs in another process, such as a worker of a distributed run or the command `yolo`, has
    to call this too: `foveal.yolo.YOLO` and `python -m foveal.yolo.command` do.

    Raises:
        MissingExtraError: if ultralytics is not installed.

    ::

        foveal.yolo.register()
        YOLO("my.yaml")  # with rows such as [-1, 1, cbam, []]
    """
    ultralytics()
    from ultralytics.nn import tasks

    original = tasks.parse_model
    if getattr(original, "__module__", "") == __name__:
        return

    @wraps(original)
    def parse_model(d: dict[str, Any], ch: Any, verbose: bool = True) -> tuple[nn.Sequential, Any]:
        rows = _mechanisms(d, set(vars(tasks)))
        if not rows:
            return original(d, ch, verbose=verbose)
        layers, save = original(_without(d, rows), ch, verbose=verbose)
        _put_in(layers, rows, ch)
        return layers, save

    parse_model.__module__ = __name__
    tasks.parse_model = parse_model


def _rows(d: dict[str, Any]) -> list[list[Any]]:
    return [*d["backbone"], *d["head"]]


def _mechanisms(d: dict[str, Any], known: set[str]) -> dict[int, tuple[str, dict[str, Any]]]:
    """The rows that name a mechanism or a mix, with its options.

    Raises:
        FovealError: for a name that is neither, or arguments that are no options.
    """
    names = {name.lower(): name for name in list_attentions()}
    found = {}
    for i, (source, _, module, args) in enumerate(_rows(d)):
        if module in known or module.startswith(("nn.", "torchvision.ops.")):
            continue
        if module.isidentifier() and module.lower() not in names:
            raise FovealError(
                f"row {i} of the YAML names {module!r}, which is neither a layer of ultralytics "
                f"nor a mechanism{did_you_mean(module, [*known, *names])}"
            )
        if not isinstance(source, int):
            raise FovealError(
                f"row {i} of the YAML: {module} takes the output of one layer, not of {source}; "
                "put it after a Concat if it is to see several"
            )
        options = args[0] if len(args) == 1 else args
        if args and not isinstance(options, dict):
            raise FovealError(
                f"row {i} of the YAML: {module} takes no channel number, it is read off the layer "
                f"before; write [] or options such as [{{reduction: 8}}], not {args}"
            )
        found[i] = names.get(module.lower(), module), dict(options or {})
    return found


def _without(d: dict[str, Any], rows: dict[int, Any]) -> dict[str, Any]:
    """The YAML with nothing done where a mechanism is to stand."""
    bare = [
        [row[0], row[1], "nn.Identity", []] if i in rows else row for i, row in enumerate(_rows(d))
    ]
    cut = len(d["backbone"])
    return {**d, "backbone": bare[:cut], "head": bare[cut:]}


@torch.no_grad()
def _put_in(layers: nn.Sequential, rows: dict[int, tuple[str, dict[str, Any]]], ch: Any) -> None:
    """Build each mechanism for the channels that reach it, and let it stand in its layer."""
    layers.eval()
    x: Any = torch.zeros(2, int(ch), 160, 192)
    outputs: list[Any] = []
    for i, layer in enumerate(list(layers)[: max(rows) + 1]):
        given: Any = layer.f
        if given != -1:
            x = (
                outputs[given]
                if isinstance(given, int)
                else [x if j == -1 else outputs[j] for j in given]
            )
        if i in rows:
            layers[i] = _layer(layer, i, x, *rows[i])
        else:
            with keep_random_state(layer):
                x = layer(x)
        outputs.append(x)
    layers.train()


def _layer(place: nn.Module, i: int, x: Any, name: str, options: dict[str, Any]) -> nn.Module:
    if not isinstance(x, Tensor) or x.ndim != 4:
        raise FovealError(f"row {i} of the YAML: {name} takes a map, which layer {i - 1} is not")
    channels, size = x.shape[1], (x.shape[2], x.shape[3])
    feature = Feature(tuple(x.shape), x.dtype, x.device, "map", channels, size, 0)
    spot = Spot(f"row {i}", place, (), "after", feature, None, True, 1)
    repeats = len(place) if isinstance(place, nn.Sequential) else 1
    built = [build(name, spot, options) for _ in range(repeats)]
    layer = built[0] if repeats == 1 else nn.Sequential(*built)
    for attribute in ("i", "f"):
        setattr(layer, attribute, getattr(place, attribute))
    layer.type = f"foveal.{name}"  # pyright: ignore
    layer.np = sum(p.numel() for p in layer.parameters())  # pyright: ignore
    return layer
