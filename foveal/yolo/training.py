"""Training a YOLO with attention in one call, with its record."""

import ast
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch

from foveal.core.errors import FovealError
from foveal.core.files import write_whole
from foveal.surgery.insert import Factory, Init, Insertion, Position, insert
from foveal.surgery.levels import insert_levels
from foveal.surgery.remove import inserted_modules
from foveal.yolo.host import wrapped_network
from foveal.yolo.package import ultralytics

RECORD = "foveal.json"


@dataclass(frozen=True)
class Training:
    """What a training did."""

    folder: Path
    """ultralytics' folder of the run, with `foveal.json` in it."""
    best: Path
    """The checkpoint to go on with."""
    metrics: dict[str, float]
    insertion: Insertion | None
    """What was inserted before it; None if the checkpoint held it already, or there is nothing."""
    strengths: dict[str, list[float] | None]
    """How far each mechanism has come into effect: its learned s, born 0, or across levels one for
    each level; None for `paper`."""

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self) | {"folder": str(self.folder), "best": str(self.best)}


def train(
    model: str | Path,
    attention: str | Factory | None = None,
    *,
    where: Any = None,
    position: Position = "after",
    init: Init = "identity",
    options: Mapping[str, Any] | None = None,
    across_levels: bool = False,
    freeze_host: bool | None = None,
    attention_lr: float | None = None,
    resume: bool = False,
    download: bool = False,
    **arguments: Any,
) -> Training:
    """Open a YOLO, insert a mechanism and train it.

    Args:
        model: a checkpoint, or a model YAML such as `yolov8n.yaml`.
        attention: as for `insert`; None to train what the checkpoint holds.
        where: as for `insert`. Default: `backbone.last2`, and across levels `head.in`.
        position, init, options: as for `insert`.
        across_levels: let the maps of several sizes exchange what they hold, with the mechanism in
            each, as `insert_levels` does.
        freeze_host: let only the mechanisms learn.
        attention_lr: how many times the host's learning rate the mechanisms get.
        resume: go on with the interrupted run whose last.pt `model` is.
        download: let ultralytics fetch a model or a dataset that is not here.
        arguments: any argument of ultralytics' `train`: `data`, `epochs`, `imgsz`, …; a relative
            `project`, by default `runs/` and the task, counts from the working folder.

    Raises:
        FovealError: if an argument is unknown, a file is missing, or the insertion is refused;
            before anything is written.
        MissingExtraError: if ultralytics is not installed.

    ::

        done = foveal.yolo.train("yolov8n.pt", "cbam", where="neck.out", data="my.yaml", epochs=50)
        print(done.best, done.metrics)
    """
    if download:
        os.environ["YOLO_OFFLINE"] = "false"
    ultralytics()
    _check_arguments(arguments)
    if resume and attention is not None:
        raise FovealError("a resumed run has its attention already; leave --attention out")
    if not download:
        _check_files(model, arguments, resume)
    from foveal.yolo.model import YOLO

    yolo: Any = _opened(model, arguments.pop("task", None), YOLO)
    report = None
    if attention is not None:
        torch.manual_seed(int(arguments.get("seed", 0)))
        put, usual = (insert_levels, "head.in") if across_levels else (insert, "backbone.last2")
        where = usual if where is None else where
        report = put(yolo, attention, where=where, position=position, init=init, options=options)
    if resume:
        arguments["resume"] = True
    else:  # ultralytics counts from a folder in its settings, or from where it is installed
        folder = Path(arguments.get("project") or Path("runs") / yolo.task)
        arguments["project"] = str(folder.absolute())
    yolo.train(freeze_host=freeze_host, attention_lr=attention_lr, **arguments)
    done = Training(
        folder=Path(yolo.trainer.save_dir),
        best=Path(yolo.trainer.best if yolo.trainer.best.exists() else yolo.trainer.last),
        metrics={k: float(v) for k, v in yolo.metrics.results_dict.items()},
        insertion=report,
        strengths={
            path: None if one.strength is None else one.strength.tolist()
            for path, one in inserted_modules(yolo).items()
        },
    )
    write_whole(done.folder / RECORD, json.dumps(done.as_dict(), indent=2, default=str))
    return done


def _opened(model: str | Path, task: str | None, cls: Any) -> Any:
    """The model in its wrapper; RT-DETR's YAMLs have a wrapper of their own."""
    if Path(model).name.startswith("rtdetr") and str(model).endswith((".yaml", ".yml")):
        from foveal.yolo.model import RTDETR

        return RTDETR(str(model))
    yolo = cls(str(model), task=task)
    if wrapped_network(yolo) is None:
        raise FovealError(f"{model} is an exported model, which cannot be trained; open its .pt")
    return yolo


def _check_arguments(arguments: dict[str, Any]) -> None:
    from ultralytics.utils import DEFAULT_CFG_DICT

    for name in arguments:
        if name not in DEFAULT_CFG_DICT:
            near = get_close_matches(name, DEFAULT_CFG_DICT, n=2)
            meant = f"; did you mean {' or '.join(near)}?" if near else ""
            raise FovealError(f"{name!r} is no argument of ultralytics' train{meant}")


def _check_files(model: str | Path, arguments: dict[str, Any], resume: bool) -> None:
    """Everything must be here already: nothing is fetched unasked."""
    if str(model).endswith(".pt") and not Path(model).is_file():
        raise FovealError(
            f"there is no file {model}; give the path of a checkpoint, a YAML such as "
            "yolov8n.yaml, or let ultralytics fetch it with --download"
        )
    data = arguments.get("data")
    if data is None and not resume:
        raise FovealError("there is no data to train on; give data=my.yaml")
    for one in data if isinstance(data, Sequence) and not isinstance(data, str) else [data]:
        if one is not None and not Path(one).exists():
            raise FovealError(
                f"there is no {one}; give the path of a data.yaml (or of a folder of classes), or "
                "let ultralytics fetch its own with --download"
            )


def parse_arguments(words: Sequence[str]) -> dict[str, Any]:
    """ultralytics' arguments as a command line has them: `epochs=3`, `--epochs 3`, `--epochs=3`.

    Raises:
        FovealError: for a word that belongs to no name.

    >>> parse_arguments(["epochs=3", "--imgsz", "64", "--plots=False", "--name", "run", "--val"])
    {'epochs': 3, 'imgsz': 64, 'plots': False, 'name': 'run', 'val': True}
    """
    found: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, sign, value = word.removeprefix("--").partition("=")
        if not name.replace("-", "_").isidentifier() or (not sign and not word.startswith("--")):
            raise FovealError(f"{word!r} is no argument; write name=value or --name value")
        if not sign:
            follows = rest and not rest[0].startswith("--") and "=" not in rest[0]
            value = rest.pop(0) if follows else "True"
        found[name.replace("-", "_")] = _value(value)
    return found


def _value(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
