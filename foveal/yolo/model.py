"""`YOLO` and `RTDETR` as ultralytics has them, which keep what is inserted into them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from foveal.core.errors import FovealError
from foveal.surgery.hook import Inserted
from foveal.surgery.insert import plan_of
from foveal.yolo.host import wrapped_network
from foveal.yolo.kept_yaml import SETTINGS
from foveal.yolo.package import ultralytics
from foveal.yolo.rows import register
from foveal.yolo.transposed import matrix_transpose_exports

ultralytics()

import ultralytics as package  # noqa: E402
import ultralytics.engine.trainer as trainer_module  # noqa: E402

from foveal.yolo.trainer import TRAINERS, keeping_trainer  # noqa: E402

if TYPE_CHECKING:
    from ultralytics.engine.model import Model as _Base
else:
    _Base = object


class Keeping(_Base):
    """What makes a model of ultralytics keep its insertions when it trains."""

    @property
    def task_map(self) -> dict[str, dict[str, Any]]:
        """ultralytics' table of classes for each task, with Foveal's trainers where it has one."""
        return {
            task: {**row, "trainer": TRAINERS.get(row["trainer"], row["trainer"])}
            for task, row in super().task_map.items()
        }

    def train(
        self,
        trainer: Any = None,
        *,
        freeze_host: bool | None = None,
        attention_lr: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """Train, as ultralytics does, with the insertions kept.

        Args:
            trainer: one of your own; it must keep insertions (`foveal.yolo.trainer`).
            freeze_host: let only what was inserted learn. Default: as in the training before, at
                first no.
            attention_lr: how many times the host's learning rate what was inserted gets. Default:
                as in the training before, at first 1.
            kwargs: any argument of ultralytics' `train`.

        Raises:
            FovealError: if a mechanism has no name to repeat it by (a function or local class), or
                the trainer would lose the insertions.
        """
        network = wrapped_network(self)
        if network is None:
            return super().train(trainer, **kwargs)
        settings = self._settings(network, freeze_host, attention_lr)
        if not settings["plan"]:
            if freeze_host:
                raise FovealError("freeze_host leaves nothing to learn: no mechanism was inserted")
            return super().train(trainer, **kwargs)
        if not self.ckpt:
            # ultralytics would build the network from the file alone, and DDP workers with it
            self.ckpt = {"model": network}
            settings["fresh"] = True
        trainer = keeping_trainer(trainer or self._smart_load("trainer"))
        return super().train(trainer, **{SETTINGS: settings}, **kwargs)

    def tune(self, use_ray: bool = False, iterations: int = 300, *args: Any, **kwargs: Any) -> Any:
        """Tune, as ultralytics does, with the insertions kept in every trial."""
        network = wrapped_network(self)
        if network is not None:
            settings = self._settings(
                network, kwargs.pop("freeze_host", None), kwargs.pop("attention_lr", None)
            )
            if settings["plan"]:
                network.yaml[SETTINGS] = settings  # pyright: ignore
        with _our_command():
            return super().tune(use_ray, iterations, *args, **kwargs)

    def export(self, **kwargs: Any) -> str:
        """Export, as ultralytics does; `foveal.yolo.export` also runs what was exported."""
        with matrix_transpose_exports():
            return super().export(**kwargs)

    def _settings(
        self, network: Any, freeze_host: bool | None, attention_lr: float | None
    ) -> dict[str, Any]:
        before = network.yaml.get(SETTINGS) or {}
        inserted = [m for m in network.modules() if isinstance(m, Inserted)]
        for one in inserted:
            if one.entry["attention"] is None:
                raise FovealError(
                    f"{one.entry['path']}: {type(one.mechanism).__name__} came from a function or "
                    "a local class, which no checkpoint can name; register it, or insert an "
                    "importable class"
                )
        return {
            "plan": plan_of(network, inserted) if inserted else None,
            "freeze_host": before.get("freeze_host", False) if freeze_host is None else freeze_host,
            "attention_lr": before.get("attention_lr", 1.0)
            if attention_lr is None
            else attention_lr,
        }


@contextmanager
def _our_command() -> Iterator[None]:
    """ultralytics trains each trial of a tuning by its own command; let it be ours meanwhile."""
    name = "_YOLO_CLI_COMMAND"
    before = getattr(trainer_module, name, None)
    if before is None:
        raise FovealError(
            f"ultralytics {package.__version__} starts the trials of a tuning in a way unknown to "
            "this Foveal, which could lose the insertions; tune with use_ray=True"
        )
    setattr(trainer_module, name, [sys.executable, "-m", "foveal.yolo.command"])
    try:
        yield
    finally:
        setattr(trainer_module, name, before)


class YOLO(Keeping, package.YOLO):
    """ultralytics' `YOLO`, which keeps its insertions, also those of a checkpoint that it opens,
    and reads YAMLs that name mechanisms.

    ::

        model = foveal.yolo.YOLO("runs/detect/train/weights/last.pt")
        model.train(resume=True)
    """

    def __init__(self, *args: Any, **kwargs: Any):
        register()
        super().__init__(*args, **kwargs)
        this: Any = self
        this.__class__ = keeping_class(type(self))  # it may have become an RTDETR meanwhile


class RTDETR(Keeping, package.RTDETR):
    """ultralytics' `RTDETR`, which keeps its insertions."""

    def __init__(self, *args: Any, **kwargs: Any):
        register()
        super().__init__(*args, **kwargs)


_KEEPING: dict[type, type[Keeping]] = {package.YOLO: YOLO, package.RTDETR: RTDETR}


def keeping_class(cls: type) -> type[Keeping]:
    """The class that keeps insertions in the stead of one of ultralytics'."""
    if issubclass(cls, Keeping):
        return cls
    if cls not in _KEEPING:
        _KEEPING[cls] = type(cls.__name__, (Keeping, cls), {"__module__": cls.__module__})
    return _KEEPING[cls]
