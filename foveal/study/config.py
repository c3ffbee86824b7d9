"""A study's configuration: what is compared, on what, and how."""

import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from foveal.core.errors import FovealError
from foveal.core.registry import attention_info
from foveal.study.kinds import kind_of
from foveal.study.names import name_of
from foveal.study.yaml_reader import FieldError, from_yaml, plain_content
from foveal.surgery.hosts.load import split_spec
from foveal.train.fit import Recipe

if TYPE_CHECKING:
    from foveal.study.prepare import Prepared
    from foveal.study.records import Cost, Run, Variant

CONTROLS = ("frozen", "matched")


def _check(holds: bool, name: str, message: str) -> None:
    if not holds:
        raise FieldError(name, message)


def _positive(value: float | None, name: str) -> None:
    whole = value is None or (value > 0 and math.isfinite(value))
    _check(whole, name, f"{name}={value} must be above 0")


@dataclass(frozen=True)
class DataConfig:
    """Which pictures."""

    source: str = "digits"
    """`digits`, `folder`, or `torchvision:NAME` for a dataset that is on disk."""
    root: str | None = None
    """The folder of the last two, as seen from where the command is run."""
    image_size: int | None = None
    test_share: float = 0.25
    train_limit: int | None = None
    test_limit: int | None = None
    feedback_share: float = 0.0
    """Share of the training pictures that no variant trains on, for weights by feedback to be
    judged on; the test pictures decide nothing."""

    def __post_init__(self) -> None:
        kind = self.source in ("digits", "folder") or self.source.startswith("torchvision:")
        _check(kind, "source", f"source={self.source!r} must be digits, folder or torchvision:NAME")
        if self.source != "digits":
            _check(self.root is not None, "source", f"source {self.source!r} needs a root: folder")
        _check(0 < self.test_share < 1, "test_share", "test_share must lie between 0 and 1")
        share = "feedback_share must be from 0 up to 1"
        _check(0 <= self.feedback_share < 1, "feedback_share", share)
        for name in ("image_size", "train_limit", "test_limit"):
            _positive(getattr(self, name), name)


@dataclass(frozen=True)
class ModelConfig:
    """Which host."""

    name: str = "builtin:small_cnn"
    """`timm:NAME`, `torchvision:NAME`, `py:package.module:factory` or `builtin:small_cnn`."""
    pretrained: bool = False
    """Start from trained weights: fetched for timm and torchvision; for `py:` it says that the
    factory loads them itself, so that all seeds may begin alike."""

    def __post_init__(self) -> None:
        try:
            split_spec(self.name)
        except FovealError as error:
            raise FieldError("name", str(error)) from error


@dataclass(frozen=True)
class TrainingConfig(Recipe):
    """How every variant is trained: one recipe and one budget for all."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "insertion_lr"):
            _positive(getattr(self, name), name)
        _check(self.batch_size > 1, "batch_size", "batch_size must be at least 2, for batch norm")
        _check(self.weight_decay >= 0, "weight_decay", "weight_decay must not be negative")
        _check(
            self.device in ("cpu", "gpu"), "device", f"device={self.device!r} must be cpu or gpu"
        )


@dataclass(frozen=True)
class AnnealConfig:
    """The temperature of a mix's weightings, changed by the same factor at every step."""

    start: float
    end: float = 1.0

    def __post_init__(self) -> None:
        _positive(self.start, "start")
        _positive(self.end, "end")


@dataclass(frozen=True)
class VariantConfig:
    """A mechanism, or a mix of mechanisms, at places."""

    attention: str
    """A name, or a notation such as `eca > coord`."""
    name: str | None = None
    """Default: the mechanism's name; for a mix one made of its notation."""
    where: str | list[str] = "stage_ends"
    position: str = "after"
    init: str = "identity"
    options: dict[str, Any] = field(default_factory=dict)
    anneal: AnnealConfig | None = None
    """For a mix: the temperature of its weightings at the first step and at the last."""

    def __post_init__(self) -> None:
        try:
            card = attention_info(self.attention)
        except FovealError as error:
            raise FieldError("attention", str(error)) from error
        reason = f"{self.attention} cannot be studied in a model's places: it {card.need}"
        _check(card.drop_in, "attention", reason)
        try:
            card.check_options(self.options)
        except FovealError as error:
            raise FieldError("options", str(error)) from error
        if self.name is not None:
            _check_name(self.name)
        _check(bool(self.where), "where", "where must name at least one place")

    @property
    def label(self) -> str:
        return self.name or name_of(attention_info(self.attention).name)


@dataclass(frozen=True)
class Design:
    """What every study says: what is compared, how often, and how it is judged.

    A kind of study adds what it is trained on (`data`, `model`, `training`), and how a study of it
    is prepared, run and costed.
    """

    controls: ClassVar[tuple[str, ...]] = CONTROLS
    """The controls there are beside `none`."""
    other_metrics: ClassVar[tuple[str, ...]] = ()
    """Metrics judged beside the study's own; runs hold them in `details["metrics"]`."""
    libraries: ClassVar[dict[str, str]] = {"scipy": "study"}
    """What a study needs, and the extra that brings it."""

    name: str
    variants: list[VariantConfig]
    seeds: int | list[int] = 10
    """How many, or which."""
    without_controls: list[str] = field(default_factory=list)
    """Controls that are refused; `none` is the baseline and stays."""
    alpha: float = 0.05
    power: float = 0.8
    assumed_deviation: float | None = None
    """Standard deviation of the paired differences, for the word on power before the start."""
    effect_of_interest: float | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check(len(self.variants) > 0, "variants", "variants must hold at least one mechanism")
        labels = [v.label for v in self.variants]
        taken = {*labels} & {
            "none",
            *self.controls,
            *(f"{x}-{c}" for x in labels for c in self.controls),
        }
        twice = {x for x in labels if labels.count(x) > 1} | taken
        _check(
            not twice,
            "variants",
            f"two variants would be called {', '.join(sorted(twice))}; give each its own name",
        )
        seeds = self.seed_list
        _check(len(seeds) >= 2, "seeds", "seeds must be at least 2; a verdict needs more")
        _check(len(set(seeds)) == len(seeds), "seeds", f"seeds={seeds} holds one twice")
        _check(all(0 <= s < 10**6 for s in seeds), "seeds", "seeds must lie in 0 … 999999")
        for control in self.without_controls:
            _check(control != "none", "without_controls", "none is the baseline and must stay")
            _check(
                control in self.controls,
                "without_controls",
                f"there is no control {control!r}; there is: {', '.join(self.controls)}",
            )
        _check(0 < self.alpha < 0.5, "alpha", "alpha must lie between 0 and 0.5")
        _check(0 < self.power < 1, "power", "power must lie between 0 and 1")
        _positive(self.assumed_deviation, "assumed_deviation")
        _positive(self.effect_of_interest, "effect_of_interest")

    @property
    def seed_list(self) -> list[int]:
        return list(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    @property
    def one_gpu(self) -> bool:
        """Whether runs share a GPU, so that one at a time is the sensible number."""
        raise NotImplementedError

    @property
    def epochs(self) -> int:
        """Of a run."""
        raise NotImplementedError

    def prepare(self) -> "Prepared":
        """Everything that can go wrong before the first run does so here."""
        raise NotImplementedError

    def run(self, variant: "Variant", seed: int, on_epoch: Callable[[int], None]) -> "Run":
        """One variant trained from one seed."""
        raise NotImplementedError

    def costs(self, prepared: "Prepared") -> "list[Cost]":
        """What each variant costs beside the bare host."""
        raise NotImplementedError

    def as_dict(self) -> dict[str, Any]:
        """The configuration with all defaults, as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class StudyConfig(Design):
    """A study of a classifier.

    >>> StudyConfig(name="try", variants=[VariantConfig("eca")]).seed_list
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    libraries: ClassVar[dict[str, str]] = dict.fromkeys(
        ("lightning", "scipy", "sklearn", "torchmetrics"), "study"
    )

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    @property
    def one_gpu(self) -> bool:
        return self.training.device == "gpu"

    @property
    def epochs(self) -> int:
        return self.training.epochs

    def prepare(self) -> "Prepared":
        from foveal.study.prepare import prepare

        return prepare(self)

    def run(self, variant: "Variant", seed: int, on_epoch: Callable[[int], None]) -> "Run":
        from foveal.study.trial import run_trial

        return run_trial(self, variant, seed, on_epoch)

    def costs(self, prepared: "Prepared") -> "list[Cost]":
        from foveal.study.costs import costs_of

        return costs_of(self, prepared)


def load_config(path: str | Path | None = None) -> Design:
    """Read a study's YAML file, or the built-in study's, as the kind of study that it is of.

    Raises:
        FovealError: naming the file, the line, and for a misspelt key the near one.

    >>> len(load_config().seed_list) >= 10
    True
    """
    path = Path(path) if path is not None else Path(__file__).with_name("builtin.yaml")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise FovealError(f"could not read the study's configuration {path}: {reason}") from error
    return from_yaml(text, kind_of(plain_content(text)) or StudyConfig, str(path))


def _check_name(name: str) -> None:
    # it becomes a folder's name
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", name) is not None
    _check(plain, "name", f"name={name!r} must be letters, digits, '.', '_', '+' or '-'")
