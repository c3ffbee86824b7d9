"""Letting a YOLO keep what was inserted into it."""

from typing import Any, TypeVar

from foveal.core.errors import FovealError, require
from foveal.yolo.host import wrapped_network

Model = TypeVar("Model")


def keep(model: Model) -> Model:
    """Let a `YOLO` or `RTDETR` keep its insertions when it trains; the same object is returned.

    `insert` does it by itself. It is needed for a model opened from a checkpoint with insertions by
    plain `YOLO("best.pt")`, before that model is trained again. Only this object changes (its class
    becomes one that hands out Foveal's trainers); ultralytics itself stays as it is.

    Raises:
        FovealError: if the model is no wrapper of ultralytics, or holds an exported file.

    ::

        model = foveal.yolo.keep(YOLO("best.pt"))
        model.train(data="my.yaml", epochs=10)
    """
    if wrapped_network(model) is None:
        raise FovealError(
            "keep() takes a YOLO or RTDETR with a PyTorch network in it, not "
            f"{type(model).__name__}"
        )
    require("ultralytics", "yolo")
    from foveal.yolo.model import keeping_class

    kept: Any = model
    kept.__class__ = keeping_class(type(model))
    return model
