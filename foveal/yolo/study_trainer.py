"""A trainer for one run of a detection study: its own network, and batches that the seed fixes.

ultralytics draws the network's weights, the order of the pictures and their augmentation from one
stream, so that a variant with more parameters would see other pictures. Here each has a stream of
its own, made from the seed anew at every epoch.
"""

import hashlib
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from foveal.study.records import Variant
from foveal.study.variants import mechanisms
from foveal.yolo.average_precision import Seen
from foveal.yolo.learning import regroup
from foveal.yolo.package import ultralytics
from foveal.yolo.study_config import DetectionConfig
from foveal.yolo.study_host import read_data

ultralytics()

from ultralytics.models.rtdetr.train import RTDETRTrainer  # noqa: E402
from ultralytics.models.yolo.detect import DetectionTrainer  # noqa: E402

FIRST = 2
"""Batches whose hash is known before a run."""


class _StudyTrainer(DetectionTrainer):
    """Trains the network it is given; remembers every batch, and every box of the test."""

    def __init__(
        self, config: DetectionConfig, network: nn.Module, variant: Variant, seed: int, folder: str
    ):
        self.config, self.variant, self.seed = config, variant, seed
        self.network = network
        self.first, self.all_batches = hashlib.sha256(), hashlib.sha256()
        self.batches = 0
        self.losses: list[float] = []
        self.on_epoch: Callable[[int], None] = lambda epoch: None
        training = config.training
        super().__init__(
            overrides={
                **training.arguments,
                "model": "yolov8n.yaml",  # never built: the network is at hand
                "data": config.data,
                "split": read_data(config.data).split,
                "task": "detect",
                "mode": "train",
                "epochs": training.epochs,
                "imgsz": training.image_size,
                "batch": training.batch_size,
                "optimizer": training.optimizer,
                "lr0": training.learning_rate,
                "device": training.device,
                "seed": seed,
                "project": folder,
                "name": "run",
                "pretrained": False,
                "workers": 0,  # a worker would draw from a stream of its own
                "patience": training.epochs + 1,
                **dict.fromkeys(("amp", "val", "save", "plots", "verbose"), False),
            }
        )

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> nn.Module:
        """The network at hand, whatever is asked for."""
        torch.set_num_threads(1)  # choosing the device set them; sums depend on their number
        return self.network

    def get_dataloader(
        self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train"
    ) -> Any:
        """ultralytics' loader, its order drawn from the seed alone."""
        loader: Any = super().get_dataloader(dataset_path, batch_size, rank=-1, mode=mode)
        if mode == "train":
            loader.generator.manual_seed(1_000_003 + self.seed)
            loader.reset()
        return loader

    def build_optimizer(self, model: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """The frozen gates are frozen again: ultralytics thaws what it did not freeze itself."""
        if self.variant.role == "frozen":
            for mechanism in mechanisms(model).values():
                mechanism.requires_grad_(False)
        optimizer = super().build_optimizer(model, *args, **kwargs)
        regroup(optimizer, model, self.config.training.insertion_lr)
        return optimizer

    def _model_train(self) -> None:
        super()._model_train()
        self.draw(self.epoch)

    def draw(self, epoch: int) -> None:
        """Begin an epoch's stream of augmentations."""
        start = (1_000_003 * (epoch + 1) + self.seed) % 2**32
        random.seed(start)
        np.random.seed(start)
        torch.manual_seed(start)

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Put the batch on record, as it came from the loader."""
        self.record(batch)
        return super().preprocess_batch(batch)

    def record(self, batch: dict[str, Any]) -> None:
        """Add a batch to the hashes."""
        for key in ("img", "cls", "bboxes"):
            content = batch[key].contiguous().numpy().tobytes()
            self.all_batches.update(content)
            if self.batches < FIRST:
                self.first.update(content)
        self.batches += 1

    def get_validator(self) -> Any:
        """ultralytics' validator, which keeps what it compared."""
        validator: Any = super().get_validator()
        validator.__class__ = _keeping(type(validator))
        validator.pictures = []
        return validator

    def save_metrics(self, metrics: dict[str, Any]) -> None:
        """An epoch has ended; no file is wanted of it."""
        self.losses.append(float(sum(self.tloss.values())))  # pyright: ignore
        self.on_epoch(len(self.losses))

    def save_model(self) -> Any:
        """No checkpoint: a run that is cut off is made again, from its seed."""
        return False

    def final_eval(self) -> None:
        """The test after the last epoch was the only one; no epoch is chosen by it."""

    def _handle_nan_recovery(self, epoch: int) -> bool:
        return False  # a run that diverged is a result


class StudyTrainer(_StudyTrainer):
    """For all with a head of their own."""


class StudyRTDETRTrainer(_StudyTrainer, RTDETRTrainer):
    """For RT-DETR."""


def trainer_for(
    config: DetectionConfig, network: nn.Module, variant: Variant, seed: int, folder: str
) -> _StudyTrainer:
    """The trainer of a network's kind."""
    queries = type(network).__name__ == "RTDETRDetectionModel"
    return (StudyRTDETRTrainer if queries else StudyTrainer)(config, network, variant, seed, folder)


def _keeping(validator: type) -> type:
    """A class of validators that keep the boxes of every picture."""

    def process(self: Any, preds: dict[str, Any], batch: dict[str, Any]) -> Any:
        found = {key: preds[key].cpu().numpy() for key in ("bboxes", "conf", "cls")}
        true = {key: batch[key].cpu().numpy() for key in ("bboxes", "cls")}
        self.pictures.append(
            Seen(found["bboxes"], found["conf"], found["cls"], true["bboxes"], true["cls"])
        )
        return validator._process_batch(self, preds, batch)  # pyright: ignore

    return type(validator.__name__, (validator,), {"_process_batch": process})


@contextmanager
def in_silence() -> Iterator[None]:
    """Keep ultralytics' remarks and bars off the terminal."""
    logger = logging.getLogger("ultralytics")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
