"""One run: one variant trained from one seed."""

import time
from collections.abc import Callable

from foveal.study.config import StudyConfig
from foveal.study.mixes import Beside
from foveal.study.records import Run, Variant
from foveal.study.variants import build, study_data
from foveal.surgery.groups import param_groups
from foveal.train.fit import fit, reproducible


def run_trial(
    config: StudyConfig,
    variant: Variant,
    seed: int,
    on_epoch: Callable[[int], None] | None = None,
) -> Run:
    """Train and test one variant from one seed. The same arguments give the same run, bit by bit.

    Args:
        config: the study.
        variant: one of its variants.
        seed: of the host's weights, of the order of the pictures, and of what is inserted.
        on_epoch: called with the number of every finished epoch.
    """
    start = time.perf_counter()
    data = study_data(config.data)
    recipe = config.training
    with reproducible():
        built = build(config, variant, seed, data)
        groups = param_groups(built.model, lr_mult=recipe.insertion_lr, lr=recipe.learning_rate)
        beside = Beside(variant, built.model, data)
        fitted = fit(
            built.model,
            data,
            recipe,
            seed=seed,
            groups=groups,
            on_epoch=on_epoch,
            callbacks=beside.callbacks,
        )
    return Run(
        variant=variant.name,
        seed=seed,
        metric=fitted.metric,
        history=fitted.history,
        host_hash=built.host_hash,
        order_hash=fitted.order_hash,
        parameters=built.parameters,
        seconds=round(time.perf_counter() - start, 3),
        weights=beside.weights(),
    )
