"""Train one model, quietly, on one thread, and the same way every time."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from foveal.core.errors import require
from foveal.train.data import ImageData
from foveal.train.order import SeededOrder


@dataclass(frozen=True)
class Recipe:
    """How every variant of a study is trained."""

    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 0.01
    weight_decay: float = 0.01
    insertion_lr: float = 1.0
    """The inserted mechanisms' learning rate, as a multiple of the host's."""
    device: str = "cpu"


@dataclass(frozen=True)
class Fitted:
    """What a training gave."""

    metric: float
    history: list[dict[str, float]]
    order_hash: str


def fit(
    model: nn.Module,
    data: ImageData,
    recipe: Recipe,
    *,
    seed: int,
    groups: list[dict[str, Any]] | None = None,
    on_epoch: Callable[[int], None] | None = None,
    callbacks: Sequence[Any] = (),
) -> Fitted:
    """Train a model in place and test it after every epoch; the last epoch counts.

    No epoch is chosen by its test result, so the test pictures stay unseen by any decision.

    Args:
        model: pictures to class scores.
        data: pictures.
        recipe: how.
        seed: of the order of the pictures, and of whatever the model draws while it trains.
        groups: parameter groups of the optimiser. Default: all parameters in one.
        on_epoch: called with the number of every finished epoch.
        callbacks: Lightning's, called while it trains.
    """
    lightning = require("lightning", "study")
    from foveal.train.module import Classifier

    order = SeededOrder(len(data.train), seed)
    batch = min(recipe.batch_size, len(data.train))
    # the rest of an uneven epoch is dropped: batch norm cannot train on one picture
    train = _loader(data.train, batch, sampler=order, drop_last=True)
    test = _loader(data.test, 256)
    module = Classifier(
        model,
        len(data.classes),
        groups or [{"params": [p for p in model.parameters() if p.requires_grad]}],
        recipe.learning_rate,
        recipe.weight_decay,
        len(data.test),
        on_epoch,
    )
    with quiet(), reproducible():
        torch.manual_seed(seed)
        trainer = lightning.Trainer(
            max_epochs=recipe.epochs,
            accelerator=recipe.device,
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            deterministic=True,
            callbacks=list(callbacks),
        )
        try:
            trainer.fit(module, train, test)
        except SystemExit as error:  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt from error
    return Fitted(module.history[-1]["val_metric"], module.history, order.hash)


def _loader(dataset: Any, batch_size: int, **options: Any) -> DataLoader:
    # a dataset's __getitems__ gives whole batches, so nothing is left to collate
    return DataLoader(dataset, batch_size=batch_size, collate_fn=lambda batch: batch, **options)


@contextmanager
def reproducible() -> Iterator[None]:
    """One thread and deterministic kernels inside; what was set before comes back after.

    Sums depend on how they are shared among threads, so the number of threads is part of a result.
    """
    threads = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # CUDA asks for it
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=warn)
        torch.backends.cudnn.benchmark = benchmark


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's remarks about devices and loaders off the terminal."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
            yield
    finally:
        logger.setLevel(level)


def scores(output: Any) -> Tensor:
    """The class scores in what a model returns; inception's and googlenet's come with others."""
    return output if isinstance(output, Tensor) else getattr(output, "logits", output)
