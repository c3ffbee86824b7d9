"""An insertion as a file of its own: the plan, and the mechanisms' weights beside it."""

import json
import os
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from foveal.core.errors import FovealError, require
from foveal.core.files import write_whole
from foveal.surgery.hook import Inserted
from foveal.surgery.hosts.adapter import adapted
from foveal.surgery.insert import PLAN_FORMAT, Insertion, plan_of
from foveal.surgery.repeat import repeat_insertion

_KEY = "foveal_insertion"


def save_insertion(model: nn.Module, path: str | os.PathLike[str]) -> Path:
    """Write a model's insertions, plan and weights, to a safetensors file; the host's weights are
    not in it.

    Raises:
        FovealError: if the model has none, or if a mechanism cannot be named in a file: it must be
            registered or be a class that can be imported, with options that JSON can hold.
        MissingExtraError: if safetensors is not installed.

    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> host, fresh = nn.Sequential(nn.Conv2d(3, 8, 3)), nn.Sequential(nn.Conv2d(3, 8, 3))
    >>> _ = insert(host, "eca", where="0", example_input=torch.rand(1, 3, 8, 8))
    >>> path = save_insertion(host, Path(mkdtemp()) / "eca.safetensors")
    >>> path.name
    'eca.safetensors'
    """
    save = require("safetensors.torch", "save").save
    model, _ = adapted(model)
    inserted = [m for m in model.modules() if isinstance(m, Inserted)]
    if not inserted:
        raise FovealError("the model has no insertion to save; `insert` makes one")
    weights: dict[str, Tensor] = {}
    for i, one in enumerate(inserted):
        if one.entry["attention"] is None:
            raise FovealError(
                f"{one.entry['path']}: {type(one.mechanism).__name__} came from a function or a "
                "local class, which a file cannot name; register it, or insert an importable class"
            )
        weights |= {
            f"{i}.{key}": value.detach().cpu().clone().contiguous()
            for key, value in one.state_dict().items()
        }
    try:
        plan = json.dumps(plan_of(model, inserted), ensure_ascii=False)
    except TypeError as error:
        raise FovealError(f"an option of the mechanism cannot be saved: {error}") from error
    return write_whole(path, save(weights, metadata={_KEY: plan}))


def load_insertion(
    model: nn.Module, path: str | os.PathLike[str], example_input: Any = None
) -> Insertion:
    """Repeat saved insertions in a fresh host of the same kind, with their weights.

    A class saved as `py:module:Class` is found only if that Python module is imported already.

    Raises:
        FovealError: if the file is damaged or holds no insertion, or if the host lacks a place or
            has other channels there; the host is as it was.
        MissingExtraError: if safetensors is not installed.

    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> host, fresh = nn.Sequential(nn.Conv2d(3, 8, 3)), nn.Sequential(nn.Conv2d(3, 8, 3))
    >>> _ = insert(host, "eca", where="0", example_input=torch.rand(1, 3, 8, 8))
    >>> path = save_insertion(host, Path(mkdtemp()) / "eca.safetensors")
    >>> load_insertion(fresh, path, torch.rand(1, 3, 8, 8)).places[0].path
    '0'
    """
    plan, weights = _read(Path(path))

    def fill(i: int, one: Inserted) -> None:
        prefix = f"{i}."
        own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        _load(one, own, one.entry["path"], Path(path))

    return repeat_insertion(model, plan, example_input, fill)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    safe_open = require("safetensors", "save").safe_open
    if not path.is_file():
        raise FovealError(f"there is no file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise FovealError(f"{path} is no safetensors file, or is damaged: {error}") from error
    if _KEY not in metadata:
        raise FovealError(f"{path} holds no insertion; `save_insertion` writes such files")
    try:
        plan = json.loads(metadata[_KEY])
        known = plan["format"] == PLAN_FORMAT and all(
            {"path", "attention", "options", "position", "init", "channels", "layout"} <= set(entry)
            for entry in plan["places"]
        )
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise FovealError(f"the plan in {path} is damaged: {error}") from error
    if not known:
        raise FovealError(f"the plan in {path} was written by another version of Foveal")
    return plan, weights


def _load(one: Inserted, weights: dict[str, Tensor], place: str, path: Path) -> None:
    if not weights and one.state_dict():
        raise FovealError(f"{path} lacks the weights of {place}")
    try:
        one.load_state_dict(weights)
    except RuntimeError as error:
        raise FovealError(f"the weights in {path} do not fit {place}: {error}") from error
