"""Which of the models that ultralytics ships another one was made from."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import nn

from foveal.yolo.align import align
from foveal.yolo.models import Layer, build_model, layers_of, read_yaml
from foveal.yolo.package import ultralytics

KIN = 0.75
"""Share of the layers that must correspond before two models are called relatives."""


@dataclass(frozen=True)
class Relative:
    """A shipped model, beside the one looked at."""

    name: str
    model: nn.Module
    """Built at the other's scale and for its classes, with fresh weights."""
    layers: list[Layer]
    pairs: dict[int, int]
    """Layers of it with those of the other that correspond to them."""

    def added(self, layers: Sequence[Layer]) -> list[Layer]:
        """The other's layers that it does not have."""
        known = set(self.pairs.values())
        return [layer for layer in layers if layer.index not in known]


def relative_of(layers: Sequence[Layer], scale: str, classes: int | None) -> Relative | None:
    """The shipped model that is most like another, if one is like it at all.

    Args:
        layers: the other's.
        scale: its scale, such as `n`.
        classes: its number of classes.
    """
    kinds = [Layer(x.index, x.kind, {}, x.sources) for x in layers]
    best, name = 0.0, ""
    for candidate, rows in _shipped(scale):
        longer = max(len(rows), len(kinds))
        if min(len(rows), len(kinds)) < KIN * longer:
            continue  # cannot reach the share, whatever corresponds
        # of two that hold all of it, the shorter
        share = len(align(rows, kinds)) / longer + 0.01 * _reads_alike(rows, kinds)
        if share > best + 1e-9:
            best, name = share, candidate
    if best < KIN:
        return None
    model = build_model(read_yaml(name), scale=scale, classes=classes)
    theirs = layers_of(model)
    return Relative(name, model, theirs, align(theirs, layers))


def rows_of(content: dict[str, Any]) -> list[Layer]:
    """The layers that a YAML lists, without tensors: for a model that cannot be built.

    >>> rows_of({"backbone": [[-1, 1, "Conv", [64, 3, 2]]], "head": [[[-1, 0], 1, "Concat", [1]]]})
    [Layer(index=0, kind='Conv', tensors={}, sources=(-1,)), \
Layer(index=1, kind='Concat', tensors={}, sources=(0, 0))]
    """
    layers = []
    for i, (source, _, kind, _) in enumerate([*content["backbone"], *content["head"]]):
        froms = source if isinstance(source, list) else [source]
        sources = tuple(f if f >= 0 else i + f for f in froms)
        layers.append(Layer(i, kind.rsplit(".", 1)[-1], {}, sources))
    return layers


def _reads_alike(old: Sequence[Layer], new: Sequence[Layer]) -> float:
    """Share of layers at the same number that are the same in all that a row says."""
    same = sum(a.kind == b.kind and a.sources == b.sources for a, b in zip(old, new, strict=False))
    return same / max(len(old), len(new))


@lru_cache(maxsize=8)
def _shipped(scale: str) -> list[tuple[str, list[Layer]]]:
    """The shipped models' rows by name, plain names first; a model that has one file per scale
    counts at that scale only."""
    folder = Path(str(ultralytics().__file__)).parent / "cfg" / "models"
    found = []
    for path in sorted(folder.rglob("*.yaml"), key=lambda path: (len(path.stem), path.stem)):
        own = re.match(r"yolov(?:9|10)([a-z])", path.stem)
        if own and scale and own[1] != scale:
            continue
        try:
            content = read_yaml(path)
        except ValueError:
            continue  # of another kind of model
        found.append((path.name, rows_of(content)))
    return found
