"""Checkpoints trained with other code, loaded into ours.

One file per mechanism holds a builder for each original class: a function whose arguments are the
original constructor's, by name and default. It returns our module with the same function, and the
places where our module keeps what the original calls otherwise.

@original("se", source="moskomule/senet.pytorch senet/se_module.py SELayer")
def se(state: State, channel: int, reduction: int = 16) -> Translation:
    return SE(channel, reduction), {"fc.0": "squeeze", "fc.2": "excite"}
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from foveal.core.errors import FovealError, did_you_mean
from foveal.originals.state import State

Translation = tuple[nn.Module, Mapping[str, str]]
"""A module, and for prefixes of the original's keys the prefixes of the module's."""

Builder = Callable[..., Translation]


@dataclass(frozen=True)
class Original:
    """A class in somebody's code, and how to build what it computes."""

    key: str
    source: str
    build: Builder

    @property
    def arguments(self) -> inspect.Signature:
        """The original constructor's arguments."""
        signature = inspect.signature(self.build)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


ORIGINALS: dict[str, Original] = {}


def original(key: str, *, source: str) -> Callable[[Builder], Builder]:
    """Register the builder below under a key.

    Args:
        key: unique, such as `"se_bias"`.
        source: repository, file and class that it speaks for.
    """

    def register(build: Builder) -> Builder:
        if key in ORIGINALS:
            raise FovealError(f"cannot register {key!r}: {ORIGINALS[key].source} has that key")
        ORIGINALS[key] = Original(key, source, build)
        return build

    return register


def from_original(key: str, args: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> nn.Module:
    """Our module with the function, and the weights, of one trained with the original code.

    The module has the dtype and device of the weights. It comes in evaluation mode, in which it
    gives what the original gives; `.train()` goes on training. What cannot change the function is
    left behind: a bias that the next softmax cancels is dropped, one before a batch normalisation
    is absorbed in its running mean.

    Args:
        key: which original; `list_originals()` names them.
        args: the arguments that the original's constructor was called with, by name.
        state_dict: its weights, under its own names.

    Raises:
        FovealError: for an unknown key, an argument that the original does not have, weights that
            are missing, unexpected or of another shape (each is named as the original names it),
            and arguments with which the original would not keep the shape of its input.

    >>> weights = {"fc.0.weight": torch.rand(2, 8), "fc.2.weight": torch.rand(8, 2)}
    >>> from_original("se", {"channel": 8, "reduction": 4}, weights).hidden
    2
    """
    if key not in ORIGINALS:
        raise FovealError(
            f"there is no original {key!r}{did_you_mean(str(key), ORIGINALS)} "
            f"Known: {', '.join(list_originals())}"
        )
    original = ORIGINALS[key]
    for name, value in ("args", args), ("state_dict", state_dict):
        if not isinstance(value, Mapping):
            raise FovealError(f"{key}: {name} must be a dict by name, not a {type(value).__name__}")
    _check_arguments(original, args)
    state = State(state_dict, original.source)
    module, names = original.build(state, **args)
    reference = next((t for t in state.values() if t.is_floating_point()), None)
    if reference is not None:
        module.to(device=reference.device, dtype=reference.dtype)
    module.load_state_dict(state.fitted(module.state_dict(), names))
    return module.eval()


def list_originals() -> list[str]:
    """The keys that `from_original` knows, in alphabetical order.

    >>> "cbam_xmu" in list_originals()
    True
    """
    return sorted(ORIGINALS)


def _check_arguments(original: Original, args: Mapping[str, Any]) -> None:
    known = original.arguments.parameters
    for name in args:
        if name not in known:
            raise FovealError(
                f"{original.key}: {original.source} has no argument {name!r}"
                f"{did_you_mean(str(name), known)} Its arguments: {', '.join(known) or 'none'}"
            )
    absent = [n for n, p in known.items() if p.default is p.empty and n not in args]
    if absent:
        raise FovealError(f"{original.key}: {original.source} needs {', '.join(absent)} in args")
