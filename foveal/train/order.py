"""The order in which training pictures are seen, as a thing that can be compared."""

import hashlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.utils.data import Sampler


class SeededOrder(Sampler[int]):
    """A new random order at every epoch, from a seed alone; remembers what it handed out.

    Args:
        length: pictures.
        seed: of the order. Nothing else (no model, no global state) changes it.

    >>> first, second = SeededOrder(100, seed=1), SeededOrder(100, seed=1)
    >>> [list(first) == list(second) for epoch in range(2)], first.hash == second.hash
    ([True, True], True)
    >>> list(first) == list(first)
    False
    """

    def __init__(self, length: int, seed: int):
        self.length, self.seed = length, seed
        self._epoch = 0
        self._digest = hashlib.sha256()

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(1_000_003 * (self._epoch + 1) + self.seed)
        order = torch.randperm(self.length, generator=generator)
        self._epoch += 1
        self._digest.update(order.numpy().tobytes())
        return iter(order.tolist())

    @property
    def hash(self) -> str:
        """Hash of all orders handed out so far."""
        return self._digest.hexdigest()[:16]


def order_hash(length: int, seed: int, epochs: int) -> str:
    """The hash that a training of so many epochs must end with."""
    order = SeededOrder(length, seed)
    for _ in range(epochs):
        iter(order)
    return order.hash


def weights_hash(model: nn.Module, keys: set[str] | None = None) -> str:
    """Hash of a model's parameters and buffers: their names, shapes, types and every bit.

    Args:
        model: the model.
        keys: only these entries of its state dict. Default: all.
    """
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        if keys is None or key in keys:
            digest.update(f"{key} {tuple(value.shape)} {value.dtype}".encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
