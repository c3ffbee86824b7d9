"""Weights for an edited YAML: from the layers they belong to, not from those of the same number."""

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError, require
from foveal.core.files import write_whole
from foveal.yolo.align import align
from foveal.yolo.models import build_model, layers_of, open_checkpoint, read_yaml, scale_of, task_of

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerTransfer:
    """What became of one layer."""

    kind: str
    old: int | None
    """Its number in the old model; None for a layer that is new."""
    new: int | None
    """Its number in the new model; None for one that is gone."""
    moved: int = 0
    """Tensors that it got."""
    fresh: int = 0
    """Tensors that begin anew."""
    left: int = 0
    """Tensors of the old layer that found no place."""
    why: str = ""


@dataclass(frozen=True)
class Transfer:
    """The tensors of a model in another one, by the structure of both."""

    keys: dict[str, str] = field(repr=False)
    """For every tensor of the new model that gets one, the tensor of the old that it gets."""
    old_tensors: int
    new_tensors: int
    by_name: int
    """Tensors that a loading by equal names and shapes would have kept."""
    wrong: dict[str, str]
    """Of those, the ones that belong elsewhere: the name, and what stands there in truth."""
    layers: list[LayerTransfer]
    classes: int | None = None
    """Classes of the new model."""
    written: str | None = None

    @property
    def moved(self) -> int:
        """Tensors of the old model that the new one gets."""
        return len(self.keys)

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self) | {"moved": self.moved}


def transfer(
    old: str | Path,
    new: str | Path,
    out: str | Path | None = None,
    *,
    scale: str | None = None,
    classes: int | None = None,
) -> Transfer:
    """Give the model of an edited YAML the weights of a checkpoint, layer by layer.

    A plain loading goes by names, and a name holds the number of a layer: after an insertion every
    layer behind it has another number, so that its weights are lost or, where a shape happens to
    fit, go into the wrong layer. Here the two sequences of layers are aligned by what they are.

    Args:
        old: a checkpoint. It is a pickle, which may run code: name one that you trust.
        new: the edited YAML, or the name of one that ultralytics ships.
        out: a `.pt` that ultralytics opens, or a `.safetensors` with the tensors alone. Default:
            nothing is written.
        scale: where the YAML's name has no letter for it. Default: the checkpoint's.
        classes: of the new model. Default: the checkpoint's, whose head then moves too.

    Raises:
        FovealError: if something cannot be read or built, or `out` exists or has another ending.

    >>> transfer("none.pt", "yolov8n.yaml")
    Traceback (most recent call last):
        ...
    foveal.core.errors.FovealError: there is no file none.pt; nothing is downloaded unasked
    """
    target = _target(out)
    model, checkpoint = open_checkpoint(old)
    content = read_yaml(new)
    classes = classes or getattr(model, "nc", None) or (getattr(model, "yaml", {}) or {}).get("nc")
    fresh = build_model(content, scale=scale or scale_of(model), classes=classes)
    found = correspondence(model, fresh)
    load_transferred(model, fresh, found)
    if target is not None:
        _name(fresh, model)
        write_whole(target, _as_bytes(fresh, checkpoint, target.suffix))
    return Transfer(
        **{**vars(found), "classes": classes, "written": str(target) if target else None}
    )


def correspondence(old: nn.Module, new: nn.Module) -> Transfer:
    """Which tensor of a model is which of another, and what loading by names would have done."""
    before, after = layers_of(old), layers_of(new)
    pairs = align(before, after)
    keys: dict[str, str] = {}
    layers = []
    for layer in before:
        if layer.index not in pairs:
            left = len(layer.tensors)
            layers.append(LayerTransfer(layer.kind, layer.index, None, left=left, why="gone"))
    back = {new_index: old_index for old_index, new_index in pairs.items()}
    for layer in after:
        if layer.index not in back:
            fresh = len(layer.tensors)
            layers.append(LayerTransfer(layer.kind, None, layer.index, fresh=fresh, why="new"))
            continue
        source = before[back[layer.index]]
        fitting = [k for k, shape in layer.tensors.items() if source.tensors.get(k) == shape]
        for name in fitting:
            keys[f"model.{layer.index}.{name}"] = f"model.{source.index}.{name}"
        layers.append(
            LayerTransfer(
                kind=layer.kind,
                old=source.index,
                new=layer.index,
                moved=len(fitting),
                fresh=len(layer.tensors) - len(fitting),
                left=len(source.tensors) - len(fitting),
                why=_why(source.tensors, layer.tensors),
            )
        )
    theirs, ours = old.state_dict(), new.state_dict()
    named = [k for k, v in theirs.items() if k in ours and ours[k].shape == v.shape]
    return Transfer(
        keys=keys,
        old_tensors=len(theirs),
        new_tensors=len(ours),
        by_name=len(named),
        wrong={k: keys.get(k, "nothing of the old model") for k in named if keys.get(k) != k},
        layers=layers,
    )


def load_transferred(old: nn.Module, new: nn.Module, found: Transfer) -> None:
    """Copy the tensors, in place."""
    theirs = old.state_dict()
    new.load_state_dict({key: theirs[source] for key, source in found.keys.items()}, strict=False)


def _why(old: Mapping[str, Shape], new: Mapping[str, Shape]) -> str:
    """What keeps tensors of aligned layers apart; empty if all of them fit."""
    both = [name for name in old if name in new and old[name] != new[name]]
    if both:
        name = both[0]
        return f"other shapes: {name} is {list(new[name])}, was {list(old[name])}"
    if set(old) != set(new):
        return "the module is built otherwise"
    return ""


def _target(out: str | Path | None) -> Path | None:
    if out is None:
        return None
    target = Path(out)
    if target.suffix not in (".pt", ".safetensors"):
        raise FovealError(f"{target} must end in .pt or .safetensors")
    if target.suffix == ".safetensors":
        require("safetensors.torch", "save")
    if target.exists():
        raise FovealError(f"{target} exists; nothing is written over it, choose another name")
    return target


def _name(new: nn.Module, old: nn.Module) -> None:
    """The names of the classes, where they still fit."""
    names = getattr(old, "names", None)
    if names is not None and len(names) == len(getattr(new, "names", ())):
        new.names = names


def _as_bytes(model: nn.Module, checkpoint: Mapping[str, Any], suffix: str) -> bytes:
    if suffix == ".safetensors":
        tensors: dict[str, Tensor] = {k: v.contiguous() for k, v in model.state_dict().items()}
        return require("safetensors.torch", "save").save(tensors)
    arguments = dict(checkpoint.get("train_args") or {})
    arguments["task"] = task_of(model)
    content = {
        "epoch": -1,
        "best_fitness": None,
        "model": model,
        "ema": None,
        "updates": None,
        "optimizer": None,
        "train_args": arguments,
        "date": datetime.now(timezone.utc).isoformat(),
        "version": checkpoint.get("version"),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()
