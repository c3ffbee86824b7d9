"""One run of a detection study: one variant trained and tested from one seed."""

import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from foveal.study.records import Run, Variant
from foveal.study.variants import parameters_of
from foveal.train.fit import reproducible
from foveal.yolo.average_precision import Seen, mean_average_precision, sides
from foveal.yolo.study_config import DetectionConfig
from foveal.yolo.study_host import build_variant, read_data
from foveal.yolo.study_trainer import in_silence, trainer_for

SIZES = ("small", "medium", "large")


def run_trial(
    config: DetectionConfig,
    variant: Variant,
    seed: int,
    on_epoch: Callable[[int], None] | None = None,
) -> Run:
    """Train one variant from one seed, and test the moving average of its weights once, at the end.

    Args:
        config: the study.
        variant: one of its variants.
        seed: of the host's weights, of what is inserted, and of the batches.
        on_epoch: called with the number of every finished epoch.
    """
    start = time.perf_counter()
    with reproducible(), in_silence(), tempfile.TemporaryDirectory() as folder:
        built = build_variant(config, variant, seed)
        parameters = parameters_of(built.network)
        trainer = trainer_for(config, built.network, variant, seed, folder)
        if on_epoch is not None:
            trainer.on_epoch = on_epoch
        trainer.train()
        box = trainer.validator.metrics.box  # pyright: ignore
        metrics = {"mAP50-95": float(box.map), "mAP50": float(box.map50)}
        return Run(
            variant=variant.name,
            seed=seed,
            metric=metrics[config.metric],
            history=[{"epoch": i, "train_loss": loss} for i, loss in enumerate(trainer.losses, 1)],
            host_hash=built.host_hash,
            order_hash=trainer.first.hexdigest()[:16],
            parameters=parameters,
            seconds=round(time.perf_counter() - start, 3),
            details={
                "metrics": metrics,
                "batches": trainer.batches,
                "batches_hash": trainer.all_batches.hexdigest()[:16],
                "milliseconds_per_picture": {
                    k: round(v, 3)
                    for k, v in trainer.validator.speed.items()  # pyright: ignore
                },
                **_parts(config, box, trainer.validator.pictures),  # pyright: ignore
            },
        )


def _parts(config: DetectionConfig, box: Any, pictures: Sequence[Seen]) -> dict[str, Any]:
    """mAP50-95 by class and by size."""
    names = read_data(config.data).classes
    by_class = dict(zip(box.ap_class_index.tolist(), box.ap.tolist(), strict=True))
    true = np.concatenate([sides(seen.true_boxes) for seen in pictures])
    third, two_thirds = np.quantile(true, [1 / 3, 2 / 3])
    limits = (0.0, float(third), float(two_thirds), np.inf)
    by_size = {
        name: mean_average_precision(pictures, low, high)
        for name, low, high in zip(SIZES, limits, limits[1:], strict=False)
    }
    return {
        "tables": {
            "mAP50-95 by class": {names[i]: by_class.get(i) for i in range(len(names))},
            "mAP50-95 by size": by_size,
        },
        "notes": {
            "mAP50-95 by size": (
                "Small, medium and large are thirds of the objects tested: sides below "
                f"{third:.0f} pixels, below {two_thirds:.0f}, and above, in pictures of "
                f"{config.training.image_size}."
            )
        },
    }
