"""What the tests of mechanisms share."""

import pytest
import torch
from torch import nn


@pytest.fixture
def stirred():
    """A function that gives every parameter and running statistic of a module a random value, in
    float64 and evaluation mode: what is born zero would hide what it multiplies."""

    def stir(module: nn.Module, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.5)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                nn.init.normal_(buffer)
            elif name.endswith("running_var"):
                nn.init.uniform_(buffer, 0.5, 2)
        return module.double().eval().requires_grad_(False)

    return stir


@pytest.fixture
def tiny():
    """A map of two images, small enough to sum by hand."""
    return torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(7)).double()
