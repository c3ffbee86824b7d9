"""The silent faults of a model: it builds, trains and predicts, and is not what it should be."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from foveal.core.errors import FovealError
from foveal.yolo.family import relative_of, rows_of
from foveal.yolo.faults_export import export_pooling
from foveal.yolo.faults_graph import (
    not_built,
    relative_of_rows,
    scale_and_classes,
    shifted_indices,
    unscaled_width,
)
from foveal.yolo.faults_weights import (
    dropped_insertions,
    expected_wrong,
    untrained_attention,
    wrong_layers,
)
from foveal.yolo.finding import Finding
from foveal.yolo.kept_yaml import plain_yaml
from foveal.yolo.models import build_model, layers_of, open_checkpoint, read_yaml


def doctor(model: str | Path, *, weights: str | Path | None = None) -> list[Finding]:
    """Look for the faults that a YOLO model can have without an error.

    `shifted-index`: a `from` that was not raised when a layer was put in before it.
    `untrained-attention`: a mechanism whose parameters never moved. `dropped-insertion`: one that
    the checkpoint's plan or training arguments name and that is not there. `wrong-layer`: weights
    that a loading by names put into another layer. `unscaled-width`: channels that fit one scale
    only. `export-pooling`: pooling that an exported file gets wrong at other sizes.

    Args:
        model: a checkpoint (a pickle, which may run code: name one you trust) or a YAML.
        weights: the checkpoint that it began with, or is to begin with. Default: what its training
            arguments say of it, without opening that file.

    Returns:
        The faults; an empty list for a healthy model.

    Raises:
        FovealError: if something cannot be read.

    >>> doctor("none.pt")
    Traceback (most recent call last):
        ...
    foveal.core.errors.FovealError: there is no file none.pt; nothing is downloaded unasked
    """
    origin = None if weights is None else open_checkpoint(weights)[0]
    name = str(weights)
    if Path(model).suffix in (".yaml", ".yml"):
        return list(_of_yaml(read_yaml(model), origin, name))
    opened, checkpoint = open_checkpoint(model)
    return list(_of_model(opened, checkpoint.get("train_args") or {}, origin, name))


def _of_yaml(content: dict[str, Any], origin: nn.Module | None, name: str) -> Iterator[Finding]:
    scale, classes = scale_and_classes(content)
    try:
        model = build_model(content)
    except FovealError as error:
        relative = relative_of_rows(content)
        found = [] if relative is None else list(shifted_indices(relative, rows_of(content)))
        found += unscaled_width(content, relative, error)
        yield from found or [not_built(content, error)]
        return
    layers = layers_of(model)
    relative = relative_of(layers, scale, classes)
    if relative is not None:
        yield from shifted_indices(relative, layers)
    yield from unscaled_width(content, relative)
    yield from export_pooling(model)
    if origin is not None:
        yield from wrong_layers(model, origin, name, None)


def _of_model(
    model: nn.Module, arguments: Mapping[str, Any], origin: nn.Module | None, name: str
) -> Iterator[Finding]:
    content = plain_yaml(getattr(model, "yaml", None) or {})
    layers = layers_of(model)
    scale, classes = scale_and_classes(content)
    relative = relative_of(layers, scale, classes)
    try:
        fresh = build_model(content, classes=classes)
    except FovealError:
        fresh = None  # a module that only the checkpoint knows
    if relative is not None:
        yield from shifted_indices(relative, layers)
    yield from dropped_insertions(model, arguments, layers)
    yield from untrained_attention(model, fresh, relative.added(layers) if relative else [])
    if origin is not None:
        yield from wrong_layers(model, origin, name, fresh)
    elif relative is not None:
        yield from expected_wrong(model, relative, arguments)
    if fresh is not None:
        yield from unscaled_width(content, relative)
    yield from export_pooling(model)
