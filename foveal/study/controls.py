"""The controls: a block without attention of about the same size, and gates that never learn."""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from foveal.core.types import Map


class MatchedBlock(nn.Module):
    """1×1 convolution, ReLU, 1×1 convolution, added to its input: capacity without attention.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 2·C·k for k hidden channels, with biases where
    they bring the count nearer.

    Args:
        channels: channels C.
        parameters: the count to come near to.

    >>> sum(p.numel() for p in MatchedBlock(16, 1000).parameters())
    1006
    """

    def __init__(self, channels: int, parameters: int):
        super().__init__()
        hidden, first, second = matched_width(channels, parameters)
        self.conv1 = nn.Conv2d(channels, hidden, 1, bias=first)
        self.conv2 = nn.Conv2d(hidden, channels, 1, bias=second)

    def forward(self, x: Map) -> Map:
        return x + self.conv2(self.conv1(x).relu())


def matched_width(channels: int, parameters: int) -> tuple[int, bool, bool]:
    """Hidden channels, and whether the two convolutions have biases, nearest to a count.

    The smallest block has 2·C parameters; a mechanism with fewer meets a block with more, which
    makes the control the harder one to beat.
    """
    guess = max(1, parameters // (2 * channels))
    choices = [
        (hidden, first, second)
        for hidden in range(max(1, guess - 1), guess + 2)
        for first in (True, False)
        for second in (True, False)
    ]

    def miss(choice: tuple[int, bool, bool]) -> int:
        hidden, first, second = choice
        return abs(hidden * (2 * channels + first) + channels * second - parameters)

    return min(choices, key=miss)


def matching(parameters_at: Mapping[int, int]) -> Callable[[int], nn.Module]:
    """A factory of blocks that match the mechanism's parameters at each number of channels."""

    def matched_block(channels: int) -> nn.Module:
        return MatchedBlock(channels, parameters_at[channels])

    return matched_block


@torch.no_grad()
def stir_and_freeze(mechanism: nn.Module) -> None:
    """Give a mechanism random gates for good.

    Noise is added to every parameter, on the scale at which layers are initialised, because a
    parameter born 0 or 1 would leave many a mechanism an identity, and then nothing is compared.
    """
    for parameter in mechanism.parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 4
        parameter.add_(torch.randn_like(parameter) / max(fan_in, 1) ** 0.5)
        parameter.requires_grad_(False)
