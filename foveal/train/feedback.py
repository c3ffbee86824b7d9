"""Weights of a mix that follow a metric while it trains."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn

from foveal.core.errors import FovealError
from foveal.mix.feedback import Feedback
from foveal.train.fit import scores


class GiveFeedback(Callback):
    """Tell every feedback weighting in a model how good each of its branches is, between epochs.

    The model is judged with each branch alone, one after the other, all of them at the same moment:
    a model that trains gets better whatever its weights, so that what it was before says nothing.
    Nothing is moved after the last epoch: what is tested then has been trained with its weights.
    The weights and their history are buffers of the model and are saved with it; this callback
    keeps the number of the epoch, so that a training resumed from a checkpoint gives what one that
    was not interrupted gives.

    Args:
        judge: gives a number for a model, the larger the better, from pictures that the training
            does not see. It is called in evaluation mode and without gradients, once for each
            branch of each weighting.

    Raises:
        FovealError: when the training starts, if the model has no feedback weighting.
    """

    def __init__(self, judge: Callable[[nn.Module], float]):
        self.judge = judge
        self.judged = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not feedback_weightings(pl_module):
            raise FovealError("there is nothing to tell: the model has no feedback weighting")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch <= self.judged:  # the first, or one that is gone on with
            return
        self.judged = trainer.current_epoch
        weightings = feedback_weightings(pl_module)
        with _judging(pl_module):
            metrics = [self._of_branches(weighting, pl_module) for weighting in weightings]
        for weighting, found in zip(weightings, metrics, strict=True):
            weighting.feedback(found)

    def _of_branches(self, weighting: Feedback, model: nn.Module) -> list[float]:
        """What the model reaches with each branch of a weighting alone."""
        kept, metrics = weighting.shares.clone(), []
        for branch in range(weighting.branches):
            weighting.shares.zero_()
            weighting.shares[branch] = 1
            metrics.append(self.judge(model))
        weighting.shares.copy_(kept)
        return metrics

    def state_dict(self) -> dict[str, Any]:
        return {"judged": self.judged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.judged = state_dict["judged"]


def feedback_weightings(model: nn.Module) -> list[Feedback]:
    """Every weighting by feedback inside a model.

    >>> len(feedback_weightings(create_attention("mean(se | eca, weights=feedback)", 16)))
    1
    """
    return [module for module in model.modules() if isinstance(module, Feedback)]


def confidence_on(pictures: Any, batch_size: int = 256) -> Callable[[nn.Module], float]:
    """A judge: the mean probability that a model gives to the class of a picture.

    Unlike the share of pictures that are right, it tells apart models that differ a little.

    Args:
        pictures: a set that takes a list of indices by `__getitems__`.
        batch_size: how many pictures are looked at together.
    """

    def judge(model: nn.Module) -> float:
        device = next(model.parameters()).device
        total = 0.0
        for start in range(0, len(pictures), batch_size):
            batch = range(start, min(start + batch_size, len(pictures)))
            inputs, labels = pictures.__getitems__(batch)
            probabilities = scores(model(inputs.to(device))).double().softmax(1)
            total += float(probabilities.gather(1, labels.to(device)[:, None]).sum())
        return total / len(pictures)

    return judge


@contextmanager
def _judging(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; each module's own mode comes back."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
