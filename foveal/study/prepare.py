"""Everything that can go wrong before the first run does so here."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.measure.environment import environment
from foveal.study.config import CONTROLS, Design, StudyConfig
from foveal.study.mixes import check_mix
from foveal.study.power import Outlook, outlook
from foveal.study.records import Variant
from foveal.study.variants import (
    attention_variant,
    baseline,
    build,
    control,
    mechanisms,
    parameters_of,
    study_data,
)
from foveal.train.data import ImageData, read_all
from foveal.train.fit import reproducible, scores
from foveal.train.order import order_hash


@dataclass(frozen=True)
class Prepared:
    """A study that is known to run."""

    config: Design
    variants: list[Variant]
    places: dict[str, tuple[str, ...]]
    notes: list[str]
    """Controls that could not be made or are larger than what they match."""
    outlook: Outlook
    pairing: dict[str, dict[str, str]]
    """For each seed the hashes that every run of it must have."""
    seconds_per_seed: float
    """Estimated time to train all variants once, on one core."""
    classes: tuple[str, ...]
    """What the pictures show."""

    def plan(self) -> dict[str, Any]:
        """What plan.json holds."""
        return {
            "name": self.config.name,
            "config": self.config.as_dict(),
            "variants": [asdict(v) for v in self.variants],
            "seeds": self.config.seed_list,
            "places": {name: list(paths) for name, paths in self.places.items()},
            "notes": self.notes,
            "classes": list(self.classes),
            "power": asdict(self.outlook),
            "environment": environment(),
        }


def describe_power(config: Design) -> Outlook:
    """What the study will be able to see; needs neither its data nor its model."""
    return outlook(
        len(config.seed_list),
        len(config.variants),
        alpha=config.alpha,
        power=config.power,
        deviation=config.assumed_deviation,
        wanted=config.effect_of_interest,
    )


def prepare(config: StudyConfig) -> Prepared:
    """Read every picture, build every variant, run one step of each, and prove the seeds differ.

    Raises:
        FovealError: naming the variant that does not fit, the picture that cannot be read, or the
            seeds that are the same.
    """
    if config.training.device == "gpu" and not torch.cuda.is_available():
        raise FovealError("training.device is gpu, and torch sees none here; say cpu")
    data = study_data(config.data)
    read_all(data)
    seed = config.seed_list[0]
    variants: list[Variant] = []
    places: dict[str, tuple[str, ...]] = {}
    sizes: dict[str, int] = {}
    notes: list[str] = []
    seconds = 0.0
    with reproducible():
        for variant in wanted(config):
            if variant.control_of and sizes[variant.control_of] == 0:
                notes.append(f"{variant.name} is left out: {variant.attention} has no parameters")
                continue
            try:
                built = build(config, variant, seed, data)
                check_mix(variant, built.model, data)
                seconds += _try_out(built.model, data, config)
            except FovealError as error:
                raise FovealError(f"variant {variant.name}: {error}") from error
            variants.append(variant)
            places[variant.name] = built.places
            sizes[variant.name] = sum(map(parameters_of, mechanisms(built.model).values()))
            if variant.role == "matched":
                notes += size_note(variant, sizes)
        pairing = _pairing(config, data)
    power = describe_power(config)
    return Prepared(config, variants, places, notes, power, pairing, seconds, data.classes)


def wanted(config: Design) -> Iterator[Variant]:
    """The baseline, and every variant asked about with its controls."""
    yield baseline()
    for asked in config.variants:
        variant = attention_variant(asked)
        yield variant
        for role in CONTROLS:
            if role not in config.without_controls:
                yield control(variant, role)


def size_note(variant: Variant, sizes: dict[str, int]) -> list[str]:
    """What must be said of a matched control that is of another size."""
    ours, theirs = sizes[variant.name], sizes[variant.control_of or ""]
    if abs(ours - theirs) <= 0.1 * theirs:
        return []
    return [f"{variant.name} has {ours} parameters where {variant.control_of} has {theirs}"]


def _try_out(model: nn.Module, data: ImageData, config: StudyConfig) -> float:
    """Train and test on a batch, to see that it works; the seconds that a whole run would take."""
    batch = min(config.training.batch_size, len(data.train))
    pictures, labels = data.train.__getitems__(range(batch))
    taken = 0.0
    try:
        for _ in range(2):  # the first is slower than those that follow
            start = time.perf_counter()
            answers = scores(model.train()(pictures))
            expected = (batch, len(data.classes))
            if not isinstance(answers, Tensor) or answers.shape != expected:
                shape = tuple(answers.shape) if isinstance(answers, Tensor) else type(answers)
                raise FovealError(
                    f"{config.model.name} must give class scores of shape {expected} for a batch "
                    f"of {batch} pictures and {len(data.classes)} classes, it gave {shape}"
                )
            nn.functional.cross_entropy(answers, labels).backward()
            taken = time.perf_counter() - start
    except FovealError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise FovealError(
            f"{config.model.name} fails on this study's pictures "
            f"({data.channels}×{data.size}×{data.size}): {type(error).__name__}: {reason} "
            "(data.image_size sets their size)"
        ) from error
    steps = len(data.train) // batch + len(data.test) / batch / 3  # a test is a third of a step
    return taken * steps * config.training.epochs


def _pairing(config: StudyConfig, data: ImageData) -> dict[str, dict[str, str]]:
    hosts: dict[str, int] = {}
    orders: dict[str, int] = {}
    pairing: dict[str, dict[str, str]] = {}
    for seed in config.seed_list:
        host = build(config, baseline(), seed, data).host_hash
        order = order_hash(len(data.train), seed, config.training.epochs)
        if order in orders:
            raise FovealError(
                f"seeds {orders[order]} and {seed} give the same order of {len(data.train)} "
                "training pictures, so that they are no two trials; take more pictures"
            )
        if host in hosts and not config.model.pretrained:
            raise FovealError(
                f"seeds {hosts[host]} and {seed} give the same initial weights of "
                f"{config.model.name}, so that they are no two trials; if it loads trained "
                "weights, say pretrained: true under model"
            )
        hosts[host], orders[order] = seed, seed
        pairing[str(seed)] = {"host": host, "order": order}
    return pairing
