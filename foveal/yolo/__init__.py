"""Attention for the YOLO families: insertion that survives their trainer, studies, and repairs.

Nothing of ultralytics is imported before something that needs it is called.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foveal.yolo.dataset import make_dataset as make_dataset

_HOMES = {"make_dataset": "dataset"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"foveal.yolo.{_HOMES[name]}"), name)
