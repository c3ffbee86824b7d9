"""A detection study before its first run: everything that can go wrong does so here."""

import tempfile
import time
from itertools import islice
from typing import Any

import torch
from torch import nn

from foveal.core.errors import FovealError
from foveal.study.costs import measured
from foveal.study.prepare import Prepared, describe_power, size_note, wanted
from foveal.study.records import Cost, Variant
from foveal.study.variants import baseline, mechanisms, parameters_of
from foveal.train.fit import reproducible
from foveal.yolo.study_config import DetectionConfig
from foveal.yolo.study_host import build_variant, example_of, read_data
from foveal.yolo.study_trainer import FIRST, in_silence, trainer_for

LARGER = Variant("larger", "larger")
"""The bare model at the next larger scale."""


def prepare(config: DetectionConfig) -> Prepared:
    """Build every variant, run one step of each, and prove that the seeds differ.

    Raises:
        FovealError: naming the variant that does not fit, or the seeds that are the same.
    """
    if config.one_gpu and not torch.cuda.is_available():
        raise FovealError("training.device is a GPU, and torch sees none here; say cpu")
    data = read_data(config.data)
    seed = config.seed_list[0]
    variants: list[Variant] = []
    places: dict[str, tuple[str, ...]] = {}
    sizes: dict[str, int] = {}
    notes: list[str] = []
    seconds = 0.0
    with reproducible(), in_silence(), tempfile.TemporaryDirectory() as folder:
        for variant in [v for v in wanted(config) if v.role != "larger"] + _larger(config):
            if variant.control_of and sizes[variant.control_of] == 0:
                notes.append(f"{variant.name} is left out: {variant.attention} has no parameters")
                continue
            try:
                built = build_variant(config, variant, seed)
                step = _try_out(config, built.network, variant, folder)
            except FovealError as error:
                raise FovealError(f"variant {variant.name}: {error}") from error
            seconds += step * data.images / config.training.batch_size * config.epochs
            variants.append(variant)
            places[variant.name] = built.places
            sizes[variant.name] = sum(map(parameters_of, mechanisms(built.network).values()))
            if variant.role == "matched":
                notes += size_note(variant, sizes)
        pairing = _pairing(config, variants, folder)
    power = describe_power(config)
    classes = tuple(data.classes)
    return Prepared(config, variants, places, notes, power, pairing, seconds, classes)


def costs_of(config: DetectionConfig, prepared: Prepared) -> list[Cost]:
    """Measure every variant on one picture, its time in turns with the bare host's."""
    device = torch.device("cpu" if config.training.device == "cpu" else "cuda")
    picture = example_of(config)[:1].to(device)
    seed = config.seed_list[0]
    with reproducible(), in_silence():
        return measured(prepared, lambda v: build_variant(config, v, seed).network, picture)


def _larger(config: DetectionConfig) -> list[Variant]:
    return [] if "larger" in config.without_controls else [LARGER]


def _first_batches(
    config: DetectionConfig, network: nn.Module, variant: Variant, seed: int, folder: str
) -> tuple[Any, list[dict[str, Any]]]:
    """A trainer, and what it is first given."""
    try:
        trainer: Any = trainer_for(config, network, variant, seed, folder)
        trainer.model = network
        loader = trainer.get_dataloader(
            trainer.data["train"], config.training.batch_size, mode="train"
        )
        trainer.draw(0)
        if trainer.args.close_mosaic >= trainer.epochs:  # then no epoch has any
            trainer.train_loader = loader
            trainer._close_dataloader_mosaic()
            loader.reset()
        batches = list(islice(iter(loader), FIRST))
        for batch in batches:
            trainer.record(batch)
    except FovealError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise FovealError(f"{config.data} cannot be trained on: {reason}") from error
    return trainer, batches


def _try_out(config: DetectionConfig, network: nn.Module, variant: Variant, folder: str) -> float:
    """The seconds of a training step."""
    trainer, batches = _first_batches(config, network, variant, config.seed_list[0], folder)
    torch.set_num_threads(1)
    network.args = trainer.args
    network.train()
    taken = 0.0
    try:
        for batch in batches:  # the first is slower than those that follow
            ready = trainer.preprocess_batch(dict(batch))
            start = time.perf_counter()
            loss = network(ready)[0]
            loss.sum().backward()
            taken = time.perf_counter() - start
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise FovealError(f"a step of training fails: {type(error).__name__}: {reason}") from error
    return taken


def _pairing(
    config: DetectionConfig, variants: list[Variant], folder: str
) -> dict[str, dict[str, str]]:
    """For each seed the hash of the host's weights, the larger host's too, and of the batches."""
    pairing: dict[str, dict[str, str]] = {}
    for seed in config.seed_list:
        built = build_variant(config, baseline(), seed)
        trainer, _ = _first_batches(config, built.network, baseline(), seed, folder)
        known = {"host": built.host_hash, "order": trainer.first.hexdigest()[:16]}
        for other, theirs in pairing.items():
            same = known["order"] == theirs["order"]
            if same or (known["host"] == theirs["host"] and not config.model.endswith(".pt")):
                what = "first batches" if same else "initial weights"
                raise FovealError(
                    f"seeds {other} and {seed} give the same {what}, so that they are no two trials"
                )
        if LARGER in variants:
            known[f"host of {LARGER.name}"] = build_variant(config, LARGER, seed).host_hash
        pairing[str(seed)] = known
    return pairing
