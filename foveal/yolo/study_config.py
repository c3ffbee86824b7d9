"""The configuration of a detection study."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from foveal.core.errors import did_you_mean
from foveal.study.config import Design
from foveal.study.yaml_reader import FieldError

if TYPE_CHECKING:
    from foveal.study.prepare import Prepared
    from foveal.study.records import Cost, Run, Variant

METRICS = ("mAP50-95", "mAP50")

OURS = {
    *("model", "data", "task", "mode", "seed", "epochs", "imgsz", "batch", "optimizer", "lr0"),
    *("device", "workers", "val", "save", "plots", "project", "name", "resume", "pretrained"),
    *("freeze", "deterministic", "exist_ok", "verbose", "amp", "patience", "time", "cache"),
    *("split", "fraction", "single_cls", "compile", "distill_model"),
}
"""Arguments of ultralytics that a study sets itself, or that would tell its runs apart."""


@dataclass(frozen=True)
class DetectionTraining:
    """How every variant is trained: one recipe and one budget for all."""

    epochs: int = 40
    image_size: int = 96
    batch_size: int = 16
    optimizer: str = "AdamW"
    learning_rate: float = 0.002
    insertion_lr: float = 1.0
    """The inserted mechanisms' learning rate, as a multiple of the host's."""
    device: str = "cpu"
    """`cpu`, or the number of a GPU."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Further arguments of ultralytics' training, such as `mosaic: 0`."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "insertion_lr"):
            value = getattr(self, name)
            _check(value > 0, name, f"{name}={value} must be above 0")
        _check(self.image_size >= 32, "image_size", "image_size must be at least 32")
        for name in self.arguments:
            _check(
                name not in OURS,
                "arguments",
                f"{name!r} cannot be among the arguments: the study sets it, so that its runs "
                "can be compared",
            )
        fixed = self.optimizer.lower() != "auto"
        _check(fixed, "optimizer", "optimizer=auto chooses by itself; name one, such as AdamW")


@dataclass(frozen=True)
class DetectionConfig(Design):
    """A study of a YOLO model on a detection dataset.

    >>> from foveal.study.config import VariantConfig
    >>> config = DetectionConfig(
    ...     "shapes", [VariantConfig("eca", where="sppf")], model="yolov8n.yaml", data="data.yaml"
    ... )
    >>> config.metric, config.controls
    ('mAP50-95', ('frozen', 'matched', 'larger'))
    """

    controls: ClassVar[tuple[str, ...]] = ("frozen", "matched", "larger")
    libraries: ClassVar[dict[str, str]] = {"ultralytics": "yolo", "scipy": "study"}

    model: str = field(kw_only=True)
    """A YAML that ultralytics ships or that is on disk, or a checkpoint on disk."""
    data: str = field(kw_only=True)
    """The dataset's data.yaml. Tested is its `test` part, or `val` where it has none."""
    training: DetectionTraining = field(default_factory=DetectionTraining, kw_only=True)
    metric: str = field(default="mAP50-95", kw_only=True)
    """What the verdicts are on; the other one is judged besides."""

    def __post_init__(self) -> None:
        super().__post_init__()
        near = did_you_mean(self.metric, METRICS)
        _check(self.metric in METRICS, "metric", f"there is no metric {self.metric!r}{near}")
        for name in ("model", "data"):
            value = getattr(self, name)
            _check("://" not in value, name, f"{name}={value}: nothing is downloaded unasked")
        ending = Path(self.model).suffix in (".yaml", ".yml", ".pt")
        _check(ending, "model", f"model={self.model!r} must end in .yaml or .pt")

    @property
    def other_metrics(self) -> tuple[str, ...]:  # pyright: ignore
        return tuple(metric for metric in METRICS if metric != self.metric)

    @property
    def one_gpu(self) -> bool:
        return self.training.device != "cpu"

    @property
    def epochs(self) -> int:
        return self.training.epochs

    def prepare(self) -> "Prepared":
        from foveal.yolo.study_prepare import prepare

        return prepare(self)

    def run(self, variant: "Variant", seed: int, on_epoch: Callable[[int], None]) -> "Run":
        from foveal.yolo.study_trial import run_trial

        return run_trial(self, variant, seed, on_epoch)

    def costs(self, prepared: "Prepared") -> "list[Cost]":
        from foveal.yolo.study_prepare import costs_of

        return costs_of(self, prepared)


def _check(holds: bool, name: str, message: str) -> None:
    if not holds:
        raise FieldError(name, message)
