"""Mixes for the tests: built the same each time, taken apart, and refused."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from foveal import create_attention
from foveal.mix import Mix, NotationError


def mix_of(notation: str, channels: int) -> Mix:
    torch.manual_seed(0)
    mix = create_attention(notation, channels).eval()
    assert isinstance(mix, Mix)
    return mix


def parts(mix: nn.Module) -> list[nn.Module]:
    """The mechanisms in a mix, in order."""
    return [m for m in mix.modules() if type(m).__module__.startswith("foveal.attention.")]


def refused(build: Callable[[], object], says: str) -> NotationError:
    """The error, raised before anything was built: no random number was drawn."""
    before = torch.random.get_rng_state()
    with pytest.raises(NotationError, match=says) as raised:
        build()
    assert torch.equal(torch.random.get_rng_state(), before)
    return raised.value
