"""The weights that mixes give their branches, noted while a model trains."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from foveal.mix.mixture import Mix
from foveal.mix.nodes import Node, nodes

DIGITS = 4


@dataclass
class _Noted:
    """What is known of one part of a mix that weighs branches."""

    branches: tuple[str, ...]
    sums: Tensor
    """Of the weights in this epoch's test, by class."""
    by_image: bool = False
    """Whether the weights were seen to be each image's own."""
    epochs: list[list[float]] = field(default_factory=list)
    classes: list[list[float] | None] = field(default_factory=list)


class WatchWeights(Callback):
    """Note, in every test, the weights of the branches of mixes: their means over the pictures and
    the positions, and for the last test the means over the pictures of each class.

    They are read off as the test's own pass goes by; nothing is computed again.

    Args:
        mixes: mixes inside the model, by the name of their place.
        classes: how many classes the pictures have. A batch is pictures and labels.
    """

    def __init__(self, mixes: Mapping[str, Mix], classes: int):
        self.mixes, self.classes = dict(mixes), classes
        self._noted: dict[tuple[str, str], _Noted] = {}
        self._hooks: list[Any] = []
        self._times: Counter[tuple[str, str]] = Counter()

    def records(self) -> list[dict[str, Any]]:
        """For each part that weighs branches: `place`, `node` (its notation), `branches`, `epochs`
        (a list of weights for each), and `classes` (likewise for the last test, None for a class
        without pictures; None for all, if the weights are the same for all images)."""
        return [
            {
                "place": place,
                "node": node,
                "branches": list(noted.branches),
                "epochs": noted.epochs,
                "classes": noted.classes if noted.by_image else None,
            }
            for (place, node), noted in self._noted.items()
        ]

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._unhook()
        if trainer.sanity_checking:
            return
        self._counts = torch.zeros(self.classes, 1, dtype=torch.float64)
        for noted in self._noted.values():
            noted.sums.zero_()
        for place, mix in self.mixes.items():
            for node in nodes(mix):
                self._hook(place, node)

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._labels = batch[1].cpu()
        self._counts.index_add_(0, self._labels, torch.ones(len(self._labels), 1).double())
        self._times.clear()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._hooks:
            return
        self._unhook()
        there = self._counts[:, 0] > 0
        for noted in self._noted.values():
            noted.epochs.append(_plain(noted.sums.sum(0) / self._counts.sum()))
            means = noted.sums / self._counts
            noted.classes = [
                _plain(mean) if any_ else None for mean, any_ in zip(means, there, strict=True)
            ]

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._unhook()

    def _hook(self, place: str, node: Node) -> None:
        def note(_: nn.Module, args: tuple[Tensor, ...], weights: Tensor) -> None:
            self._times[place, node.notation] += 1
            times = self._times[place, node.notation]
            key = place, node.notation + (f" ({times})" if times > 1 else "")
            sums = torch.zeros(self.classes, len(node.branches), dtype=torch.float64)
            self._add(self._noted.setdefault(key, _Noted(node.branches, sums)), weights)

        self._hooks.append(node.weighting.register_forward_hook(note))

    def _add(self, noted: _Noted, weights: Tensor) -> None:
        """Add weights (1, B or several for each image, branches, …) to the sums of their class."""
        means = weights.detach().double().flatten(2).mean(2).cpu()
        pictures = len(self._labels)
        if len(means) > 1:
            noted.by_image = True
            means = means.unflatten(0, (pictures, -1)).mean(1)  # a window's are its image's
        noted.sums.index_add_(0, self._labels, means.expand(pictures, -1))

    def _unhook(self) -> None:
        while self._hooks:
            self._hooks.pop().remove()


def _plain(weights: Tensor) -> list[float]:
    return [round(weight, DIGITS) for weight in weights.tolist()]
