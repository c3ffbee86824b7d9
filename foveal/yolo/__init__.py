"""Attention for the YOLO families: insertion that survives their trainer, studies, and repairs.

Nothing of ultralytics is imported before something that needs it is called.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from foveal.study.kinds import register_kind
from foveal.surgery.hosts.adapter import register_adapter
from foveal.yolo.host import UltralyticsAdapter

if TYPE_CHECKING:
    from foveal.yolo.dataset import make_dataset as make_dataset
    from foveal.yolo.diagnosis import doctor as doctor
    from foveal.yolo.exporting import export as export
    from foveal.yolo.keeping import keep as keep
    from foveal.yolo.model import RTDETR as RTDETR
    from foveal.yolo.model import YOLO as YOLO
    from foveal.yolo.rows import register as register
    from foveal.yolo.training import train as train
    from foveal.yolo.weights import transfer as transfer

_HOMES = {
    "RTDETR": "model",
    "YOLO": "model",
    "doctor": "diagnosis",
    "export": "exporting",
    "keep": "keeping",
    "make_dataset": "dataset",
    "register": "rows",
    "train": "training",
    "transfer": "weights",
}

register_adapter(UltralyticsAdapter())
register_kind(
    # a study of detection names its model and its data in a word each
    lambda content: isinstance(content.get("model"), str) and isinstance(content.get("data"), str),
    lambda: import_module("foveal.yolo.study_config").DetectionConfig,
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"foveal.yolo.{_HOMES[name]}"), name)
