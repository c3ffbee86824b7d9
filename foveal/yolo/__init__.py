"""Attention for the YOLO families: insertion that survives their trainer, studies, and repairs.

Nothing of ultralytics is imported before something that needs it is called.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from foveal.surgery.hosts.adapter import register_adapter
from foveal.yolo.host import UltralyticsAdapter

if TYPE_CHECKING:
    from foveal.yolo.dataset import make_dataset as make_dataset
    from foveal.yolo.keep import keep as keep
    from foveal.yolo.model import RTDETR as RTDETR
    from foveal.yolo.model import YOLO as YOLO
    from foveal.yolo.rows import register as register

_HOMES = {
    "RTDETR": "model",
    "YOLO": "model",
    "keep": "keep",
    "make_dataset": "dataset",
    "register": "rows",
}

register_adapter(UltralyticsAdapter())


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"foveal.yolo.{_HOMES[name]}"), name)
