"""A state dict under somebody else's names, on its way to ours."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from foveal.core.errors import FovealError


class State(dict[str, Tensor]):
    """A copy of a state dict that builders edit; the tensors themselves are not touched.

    A key that is asked for and missing is an error that names it.
    """

    def __init__(self, state_dict: Mapping[str, Tensor], source: str):
        super().__init__(state_dict)
        self.source = source

    def __missing__(self, key: str) -> Tensor:
        raise FovealError(
            f"the weights lack {key!r}, which {self.source} has with these args; "
            f"they hold: {', '.join(self) or 'nothing'}"
        )

    def width(self, key: str) -> int:
        """Outputs of a layer, read off its weight."""
        return self[key].shape[0]

    def drop(self, *keys: str) -> None:
        """Leave behind what has no effect."""
        for key in keys:
            self.pop(key, None)

    def absorb_bias(self, layer: str, norm: str) -> None:
        """Take a layer's bias, if it has one, off the running mean of the batch norm after it."""
        if f"{layer}.bias" in self:
            bias = self.pop(f"{layer}.bias")
            self[f"{norm}.running_mean"] = self[f"{norm}.running_mean"] - bias

    def join(self, key: str, parts: Sequence[str]) -> None:
        """Concatenate several weights into one that stands for them."""
        tensors = [self[part] for part in parts]
        self.drop(*parts)
        self[key] = torch.cat(tensors)

    def reverse_inputs(self, key: str) -> None:
        """Let a convolution's inputs change places, where ours stack them the other way round."""
        self[key] = self[key].flip(1)

    def fitted(self, ours: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
        """The tensors under our names, in our shapes.

        Shapes may differ in axes of length 1: a linear layer and a 1 × 1 convolution are the same.

        Raises:
            FovealError: naming, as the original does, every key that is missing, unexpected or of
                another shape.
        """
        found = {_renamed(key, names): (key, tensor) for key, tensor in self.items()}
        back = {our: their for their, our in names.items()}
        faults = [
            f"missing {_renamed(key, back)}"
            for key in ours
            if key not in found and not key.endswith("num_batches_tracked")
        ]
        faults += [f"unexpected {key}" for our, (key, _) in found.items() if our not in ours]
        fitted = dict(ours)
        for our, (key, tensor) in found.items():
            if our not in ours:
                continue
            if _without_ones(tensor) != _without_ones(ours[our]):
                wanted = tuple(ours[our].shape)
                faults.append(f"{key} has shape {tuple(tensor.shape)} where {wanted} is needed")
                continue
            fitted[our] = tensor.reshape(ours[our].shape)
        if faults:
            raise FovealError(
                f"the weights are not those of {self.source} with these args: {'; '.join(faults)}"
            )
        return fitted


def _without_ones(tensor: Tensor) -> list[int]:
    return [size for size in tensor.shape if size != 1]


def _renamed(key: str, names: Mapping[str, str]) -> str:
    """The key with its longest known prefix renamed; a prefix ends at a dot."""
    parts = key.split(".")
    for end in range(len(parts), -1, -1):
        prefix = ".".join(parts[:end])
        if prefix in names:
            return ".".join(part for part in (names[prefix], *parts[end:]) if part)
    return key
