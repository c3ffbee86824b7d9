"""Models of the installed ultralytics as graphs of numbered layers: opened, built, described."""

import re
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foveal.core.errors import FovealError
from foveal.yolo.package import ultralytics
from foveal.yolo.rows import register

TASKS = {
    "detect": "DetectionModel",
    "segment": "SegmentationModel",
    "pose": "PoseModel",
    "obb": "OBBModel",
    "classify": "ClassificationModel",
}
"""The class of each task's model."""


@dataclass(frozen=True)
class Layer:
    """A numbered layer of a model."""

    index: int
    kind: str
    """The class of its module, of one of them where it is repeated."""
    tensors: dict[str, tuple[int, ...]]
    """Shapes by the name within the layer."""
    sources: tuple[int, ...]
    """The layers that it reads; -1 is the picture."""


def layers_of(model: nn.Module) -> list[Layer]:
    """The numbered layers of a model.

    Raises:
        FovealError: if it is no model of the YOLO families.
    """
    layers = []
    layer: Any
    for i, layer in enumerate(_numbered(model)):
        froms = layer.f if isinstance(layer.f, list | tuple) else [layer.f]
        layers.append(
            Layer(
                index=i,
                kind=str(getattr(layer, "type", type(layer).__name__)).rsplit(".", 1)[-1],
                tensors={k: tuple(v.shape) for k, v in layer.state_dict().items()},
                sources=tuple(f if f >= 0 else i + f for f in froms),
            )
        )
    return layers


def is_yolo(model: object) -> bool:
    """Whether something is a model of the YOLO families, with numbered layers."""
    layers = getattr(model, "model", None)
    return isinstance(layers, nn.Sequential) and all(hasattr(layer, "f") for layer in layers)


def _numbered(model: nn.Module) -> nn.Sequential:
    if not is_yolo(model):
        raise FovealError(
            f"{type(model).__name__} is no model of the YOLO families: it has no numbered layers"
        )
    layers = model.model
    assert isinstance(layers, nn.Sequential)
    return layers


def open_checkpoint(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """The model of a checkpoint in float32, and all else that the checkpoint holds.

    A checkpoint is a pickle, which may run code when it is read: open what you trust.

    Raises:
        FovealError: if there is no such file, it cannot be read, or it holds no model.
    """
    path = Path(path)
    if not path.is_file():
        raise FovealError(f"there is no file {path}; nothing is downloaded unasked")
    ultralytics()
    try:
        content = torch.load(path, map_location="cpu", weights_only=False)
    except ModuleNotFoundError as error:
        raise FovealError(
            f"{path} needs the module {error.name}, which is not installed here; it was saved by a "
            "program that had it"
        ) from error
    except AttributeError as error:
        raise FovealError(
            f"{path} was saved with another version of a package, or with one edited by hand: "
            f"{error}"
        ) from error
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FovealError(f"{path} is no checkpoint of a model: {reason}") from error
    content = content if isinstance(content, dict) else {"model": content}
    model = content.get("ema") or content.get("model")
    if not isinstance(model, nn.Module) or not is_yolo(model):
        raise FovealError(f"{path} holds no model of the YOLO families")
    return model.float(), content


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A model's YAML, from a file or by the name of one that ultralytics ships, with its scale.

    Raises:
        FovealError: if it is not there or is no model.
    """
    ultralytics()
    from ultralytics.nn.tasks import yaml_model_load

    if "://" in str(path):
        raise FovealError(f"{path} is not on this disk; nothing is downloaded unasked")
    try:
        content = yaml_model_load(path)
    except FileNotFoundError as error:
        raise FovealError(
            f"there is no file {path}, nor does ultralytics ship one of that name"
        ) from error
    except Exception as error:
        raise FovealError(f"{path} is not YAML: {error}") from error
    if not {"backbone", "head"} <= set(content):
        raise FovealError(f"{path} is no YAML of a model: it has no backbone and head")
    return content


def build_model(
    content: dict[str, Any], *, scale: str | None = None, classes: int | None = None
) -> nn.Module:
    """Build the model that a YAML describes, with fresh weights; it may name Foveal's mechanisms.

    Args:
        content: of `read_yaml`.
        scale: where the file's name says none. Default: the first that the YAML lists.
        classes: instead of the YAML's `nc`.

    Raises:
        FovealError: if a layer is not known or does not fit.
    """
    register()
    from ultralytics.nn import tasks

    content = deepcopy(content)
    scales = list(content.get("scales") or {})
    if not content.get("scale") and scales:
        content["scale"] = scale if scale in scales else scales[0]
    rows = [*content["backbone"], *content["head"]]
    name = "RTDETRDetectionModel"
    if rows[-1][2] != "RTDETRDecoder":
        task = tasks.guess_model_task(content)
        if task not in TASKS:
            raise FovealError(f"its last layer is {rows[-1][2]}, which belongs to no known task")
        name = TASKS[task]
    try:
        return getattr(tasks, name)(
            content, ch=content.get("channels", 3), nc=classes, verbose=False
        )
    except FovealError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FovealError(f"the model cannot be built: {reason}") from error


def scale_of(model: nn.Module) -> str:
    """The letter of a model's scale; empty where its YAML has none."""
    content = getattr(model, "yaml", None) or {}
    return str(content.get("scale") or "")


def task_of(model: nn.Module) -> str:
    """The task that a model was built for: one of `TASKS`."""
    names = {kind.__name__ for kind in type(model).__mro__}
    found = (task for task, name in TASKS.items() if name in names and task != "detect")
    return next(found, "detect")  # the models of the other tasks are detection models too


def family_yaml(path: str) -> str | None:
    """The name of the shipped YAML that a model's own was probably edited from.

    >>> family_yaml("runs/yolov8n-cbam.yaml"), family_yaml("yolo11s-seg-eca.yaml")
    ('yolov8n.yaml', 'yolo11s-seg.yaml')
    >>> family_yaml("mine.yaml") is None
    True
    """
    found = re.match(r"(yolov?\d+[a-z]?u?|rtdetr-(?:l|x|resnet\d+))(?=[-_.]|$)", Path(path).stem)
    if found is None:
        return None
    rest = Path(path).stem[found.end() :]
    task = re.search(r"-(seg|pose|obb|cls|p2|p6)(?![a-z0-9])", rest)
    return f"{found[1]}{task[0] if task else ''}.yaml"
