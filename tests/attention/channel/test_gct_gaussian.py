from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import GCTGaussian


@pytest.mark.parametrize("width", [2.0, 0.5])
def test_is_the_sum_written_by_hand(tiny, width):
    y = GCTGaussian(6, width)(tiny)
    for b in range(2):
        means = [sum(tiny[b, c].flatten().tolist()) / 12 for c in range(6)]
        mean = sum(means) / 6
        variance = sum((m - mean) ** 2 for m in means) / 6
        for c in range(6):
            place = (means[c] - mean) / sqrt(variance + 1e-5)
            weight = exp(-(place**2) / (2 * width**2))
            torch.testing.assert_close(y[b, c], tiny[b, c] * weight)


def test_a_wide_bell_damps_less():
    """The published port has exp(−c ẑ² / 2), which damps more the wider c is."""
    x = torch.randn(2, 16, 4, 4)
    assert (GCTGaussian(16, 4.0).attention_map(x) >= GCTGaussian(16, 2.0).attention_map(x)).all()


def test_the_width_can_be_learned():
    module = GCTGaussian(8, learnable=True)
    assert sum(p.numel() for p in module.parameters()) == 1
    module(torch.randn(2, 8, 3, 3)).sum().backward()
    assert module.theta.grad is not None
    assert not list(GCTGaussian(8).parameters())


def test_a_learned_width_stays_between_its_bounds():
    module, x = GCTGaussian(8, learnable=True, least=1.0, most=4.0), torch.randn(2, 8, 3, 3)
    torch.testing.assert_close(module(x).detach(), GCTGaussian(8, 2.5)(x))  # born in the middle
    for theta, width in (-100.0, 1.0), (100.0, 4.0):
        with torch.no_grad():
            module.theta.fill_(theta)
        torch.testing.assert_close(module(x).detach(), GCTGaussian(8, width)(x))


def test_one_channel_stands_in_the_middle():
    x = torch.randn(2, 1, 3, 3)
    torch.testing.assert_close(GCTGaussian(1)(x), x)


def test_a_width_of_nothing_is_refused():
    for options in ({"c": 0.0}, {"c": -1.0}, {"eps": 0.0}, {"least": 0.0}):
        with pytest.raises(FovealError, match="must be positive"):
            GCTGaussian(8, **options)
    with pytest.raises(FovealError, match="must be more than least"):
        GCTGaussian(8, learnable=True, most=1.0)
