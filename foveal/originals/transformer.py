"""What blocks of transformers have around their attention."""

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn

from foveal.attention.window.swin import Swin
from foveal.ops.activation import activation
from foveal.originals.names import activation_name
from foveal.originals.state import State


def two_layers(width: int, hidden: int, act: Any = "gelu", drop: float = 0.0) -> nn.Sequential:
    """The perceptron `fc1`, activation, `fc2` under the names that timm gave it."""
    return nn.Sequential(
        OrderedDict(
            fc1=nn.Linear(width, hidden),
            act=activation(activation_name(act)),
            drop1=nn.Dropout(drop),
            fc2=nn.Linear(hidden, width),
            drop2=nn.Dropout(drop),
        )
    )


def scale_queries(state: State, layer: str, channels: int, factor: float) -> None:
    """Multiply the queries of a layer by a factor: its first `channels` outputs."""
    for part in "weight", "bias":
        key = f"{layer}.{part}"
        if key in state and factor != 1:
            tensor = state[key].clone()
            tensor[:channels] *= factor
            state[key] = tensor


class OnWindows(nn.Module):
    """Let attention in windows take windows that are cut already, and which pairs to keep apart as
    numbers to add to the scores.

    Shape: (windows · B, N, C) → the same; the mask (windows, N, N).
    """

    def __init__(self, mechanism: Swin):
        super().__init__()
        self.mechanism = mechanism

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        windows = 1 if mask is None else mask.shape[0]
        tokens = x.unflatten(0, (-1, windows))
        return self.mechanism.attend_tokens(tokens, mask).flatten(0, 1)

    def attention_map(self, x: Tensor) -> Tensor:
        h, w = self.mechanism.window
        return self.mechanism.attention_map(x.mT.unflatten(2, (h, w)))[:, 0]
