"""Trainers that keep what was inserted: one for each task, importable by name.

ultralytics builds the network anew from its YAML when training starts, when it resumes and in every
process of a distributed run. Each of these trainers then repeats the insertion in the new network
and fills it with the weights at hand. A trainer of your own keeps insertions too if it names
`KeepsInsertions` before ultralytics' class::

    class MyTrainer(KeepsInsertions, ultralytics.models.yolo.detect.DetectionTrainer): ...
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from foveal.core.errors import FovealError
from foveal.surgery.hook import Inserted
from foveal.surgery.remove import inserted_modules
from foveal.surgery.repeat import repeat_insertion
from foveal.yolo.kept_yaml import SETTINGS, KeptYaml, plain_yaml
from foveal.yolo.learning import freeze_host, hold_host, regroup
from foveal.yolo.package import ultralytics
from foveal.yolo.rows import register

ultralytics()

from ultralytics.models import yolo  # noqa: E402
from ultralytics.models.rtdetr.train import RTDETRTrainer as _RTDETRTrainer  # noqa: E402
from ultralytics.utils import DEFAULT_CFG, LOGGER, RANK  # noqa: E402
from ultralytics.utils.torch_utils import unwrap_model  # noqa: E402

if TYPE_CHECKING:
    from ultralytics.engine.trainer import BaseTrainer as _Base
else:
    _Base = object


class KeepsInsertions(_Base):
    """What a trainer needs to keep insertions.

    `overrides` may hold, under `foveal`, what `Keeping.train` puts there: the plan of the
    insertions, whether the network is to be `fresh` from its YAML, and how the two parts learn.
    """

    def __init__(self, cfg: Any = DEFAULT_CFG, overrides: Any = None, _callbacks: Any = None):
        overrides = dict(overrides or {})
        self.settings: dict[str, Any] = overrides.pop(SETTINGS, None) or {}
        super().__init__(cfg, overrides, _callbacks)

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
        """The network as ultralytics builds it, with the insertions repeated in it."""
        if RANK != -1:  # a worker of a distributed run, where nobody else could have called it
            register()
        for source in (getattr(weights, "yaml", None), cfg):
            if not self.settings and isinstance(source, dict):
                self.settings = dict(source.get(SETTINGS) or {})
        if self.settings.get("fresh") and not isinstance(self.args.pretrained, str):
            weights = None
        plain = plain_yaml(cfg) if isinstance(cfg, dict) else cfg
        model: Any = super().get_model(cfg=plain, weights=weights, verbose=verbose)
        plan = self.settings.get("plan")
        if plan:
            there = inserted_modules(weights) if weights is not None else {}

            def fill(i: int, one: Inserted) -> None:
                trained = there.get(plan["places"][i]["module"])
                if trained is not None:
                    one.load_state_dict(trained.state_dict())

            repeat_insertion(model, plan, fill=fill)
            settings = {key: value for key, value in self.settings.items() if key != "fresh"}
            model.yaml = KeptYaml({**model.yaml, SETTINGS: settings})
        elif weights is not None and inserted_modules(weights):
            raise FovealError(
                "the weights hold inserted mechanisms without a plan to repeat them by; open them "
                "with foveal.yolo.YOLO(...) and train that"
            )
        if weights is not None:
            _tell(model, weights)
        return model

    def learning(self) -> dict[str, Any]:
        """How the two parts learn; the network says it in every process of a run."""
        return (getattr(self._network(), "yaml", None) or {}).get(SETTINGS) or {}

    def _network(self) -> Any:
        model: Any = self.model
        return unwrap_model(model)

    def build_optimizer(self, model: nn.Module, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """ultralytics' optimiser, in which what was inserted learns at a rate of its own."""
        network = unwrap_model(model)
        if self.learning().get("freeze_host"):
            freeze_host(network)
        optimizer = super().build_optimizer(model, *args, **kwargs)
        regroup(optimizer, network, self.learning().get("attention_lr", 1.0))
        return optimizer

    def _model_train(self) -> None:
        super()._model_train()
        if self.learning().get("freeze_host"):
            hold_host(self._network())

    def optimizer_step(self) -> None:
        """A step; of a frozen host, the moving average is the host itself and not nearly it."""
        super().optimizer_step()
        if self.learning().get("freeze_host") and self.ema:
            own = self._network().state_dict()
            inside = tuple(f"{path}." for path in inserted_modules(self.ema.ema))
            for key, value in self.ema.ema.state_dict().items():
                if not key.startswith(inside):
                    value.copy_(own[key])


def _tell(model: nn.Module, weights: nn.Module) -> None:
    """Say how many of the host's tensors came over, and which did not."""
    kept, missed = host_transfer(model, weights)
    said = f"Foveal: {kept} of {kept + len(missed)} host tensors kept"
    if missed:
        said += f"; new, as the number of classes or the input asks: {', '.join(missed)}"
    LOGGER.info(said)


def host_transfer(model: nn.Module, weights: nn.Module) -> tuple[int, list[str]]:
    """How many host tensors are the weights' own, and the names of the others."""
    inside = tuple(f"{path}." for path in inserted_modules(model))
    given = weights.state_dict()
    host = {k: v for k, v in model.state_dict().items() if not k.startswith(inside or "\0")}
    missed = [k for k, v in host.items() if k not in given or not _same(v, given[k])]
    return len(host) - len(missed), missed


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a.cpu(), b.to(a.dtype).cpu())


class DetectionTrainer(KeepsInsertions, yolo.detect.DetectionTrainer):
    """Boxes."""


class SegmentationTrainer(KeepsInsertions, yolo.segment.SegmentationTrainer):
    """Masks of instances."""


class PoseTrainer(KeepsInsertions, yolo.pose.PoseTrainer):
    """Keypoints."""


class OBBTrainer(KeepsInsertions, yolo.obb.OBBTrainer):
    """Turned boxes."""


class ClassificationTrainer(KeepsInsertions, yolo.classify.ClassificationTrainer):
    """Whole pictures."""


class RTDETRTrainer(KeepsInsertions, _RTDETRTrainer):
    """Boxes by queries."""


TRAINERS: dict[type, type[KeepsInsertions]] = {
    cls.__mro__[2]: cls
    for cls in (
        DetectionTrainer,
        SegmentationTrainer,
        PoseTrainer,
        OBBTrainer,
        ClassificationTrainer,
        RTDETRTrainer,
    )
}
"""ultralytics' trainer of a task to the one that keeps insertions."""


def keeping_trainer(trainer: type) -> type:
    """The trainer that keeps insertions in the stead of one of ultralytics'.

    Raises:
        FovealError: if there is none for it.
    """
    if issubclass(trainer, KeepsInsertions):
        return trainer
    if trainer not in TRAINERS:
        raise FovealError(
            f"{trainer.__module__}.{trainer.__name__} would build the network anew without what "
            "was inserted; derive it from foveal.yolo.trainer.KeepsInsertions as well, named first"
        )
    return TRAINERS[trainer]
