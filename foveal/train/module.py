"""The one LightningModule: a classifier, the recipe, and what every epoch gave."""

from collections.abc import Callable
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from foveal.train.fit import scores


class Classifier(LightningModule):
    """Train a model on cross-entropy with AdamW and one cycle of the learning rate.

    Args:
        model: pictures to class scores.
        num_classes: classes.
        groups: parameter groups for the optimiser, each with its own `lr` where it needs one.
        learning_rate: the highest of the cycle.
        weight_decay: of AdamW.
        test_pictures: how many there are, so that the accuracy is an exact fraction.
        on_epoch: called with the number of every finished epoch.
    """

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        groups: list[dict[str, Any]],
        learning_rate: float,
        weight_decay: float,
        test_pictures: int,
        on_epoch: Callable[[int], None] | None = None,
    ):
        super().__init__()
        self.model = model
        self.groups, self.learning_rate, self.weight_decay = groups, learning_rate, weight_decay
        self.test_pictures, self.on_epoch = test_pictures, on_epoch
        self.accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.history: list[dict[str, float]] = []
        self._sums = {"train": [0.0, 0], "val": [0.0, 0]}

    def forward(self, pictures: Tensor) -> Tensor:
        return scores(self.model(pictures))

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self._add("train", loss, len(batch[1]))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        answers = self(batch[0])
        self.accuracy.update(answers, batch[1])
        self._add("val", nn.functional.cross_entropy(answers, batch[1]), len(batch[1]))

    def on_validation_epoch_end(self) -> None:
        right = round(float(self.accuracy.compute()) * self.test_pictures)
        self.accuracy.reset()
        self._last = {"val_loss": self._mean("val"), "val_metric": right / self.test_pictures}

    def on_train_epoch_end(self) -> None:
        entry = {"epoch": len(self.history) + 1, "train_loss": self._mean("train")}
        self.history.append(entry | self._last)
        if self.on_epoch:
            self.on_epoch(len(self.history))

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.AdamW(
            self.groups, lr=self.learning_rate, weight_decay=self.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            max_lr=[group["lr"] for group in optimiser.param_groups],
            total_steps=int(self.trainer.estimated_stepping_batches),
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _add(self, part: str, loss: Tensor, count: int) -> None:
        self._sums[part][0] += float(loss.detach()) * count
        self._sums[part][1] += count

    def _mean(self, part: str) -> float:
        total, count = self._sums[part]
        self._sums[part] = [0.0, 0]
        return total / max(count, 1)
