"""The temperature of a mix's weightings, changed while it trains."""

import math
from typing import Any

from lightning import Callback, LightningModule, Trainer

from foveal.core.errors import FovealError
from foveal.mix.weigh import anneal, check_temperature


class Anneal(Callback):
    """Take the temperature of every weighting in a model from one value to another.

    Each optimiser step changes it by the same factor: the first is made at `start`, the last, and
    every test after it, at `end`. The temperature follows from the number of the step alone, so
    that a training resumed from a checkpoint has it as one that was not interrupted.

    Args:
        start: at the first step; high, and the branches count alike at first.
        end: at the last step.

    Raises:
        FovealError: unless both are positive; and when the training starts, if its steps are not
            limited or the model has no weighting.
    """

    def __init__(self, start: float, end: float = 1.0):
        check_temperature(start)
        check_temperature(end)
        self.start, self.end = start, end
        self.steps = 1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        steps = trainer.estimated_stepping_batches
        if not math.isfinite(steps):
            raise FovealError("annealing needs a last step: give the trainer max_epochs")
        self.steps = int(steps)
        if not anneal(pl_module, self.at(trainer.global_step)):
            raise FovealError("there is nothing to anneal: the model has no weighting of branches")

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        anneal(pl_module, self.at(trainer.global_step))

    def at(self, step: int) -> float:
        """The temperature at a step, counted from 0.

        >>> callback = Anneal(8, 1)
        >>> callback.steps = 4
        >>> [callback.at(step) for step in range(4)]
        [8.0, 4.0, 2.0, 1.0]
        """
        share = min(step / (self.steps - 1), 1) if self.steps > 1 else 1
        return self.start * (self.end / self.start) ** share
