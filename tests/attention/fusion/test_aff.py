from math import exp

import pytest
import torch

from foveal import FovealError, attention_info
from foveal.attention import AFF, IAFF


@pytest.fixture
def pair(tiny):
    return tiny, torch.randn(tiny.shape, generator=torch.Generator().manual_seed(3)).double()


def gate(module, x):
    """The gate of MS-CAM for one picture, one channel of one position at a time."""
    weights = torch.zeros_like(x)
    whole = module.global_scale(x.mean((1, 2))[None, :, None, None])[0, :, 0, 0]
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            here = module.local_scale(x[None, :, i : i + 1, j : j + 1])[0, :, 0, 0]
            for c in range(len(x)):
                weights[c, i, j] = 1 / (1 + exp(-float(here[c] + whole[c])))
    return weights


def test_aff_is_the_sum_written_by_hand(stirred, pair):
    module, (x, other) = stirred(AFF(6)), pair
    y = module(x, other)
    for b in range(2):
        m = gate(module.gate, x[b] + other[b])
        torch.testing.assert_close(y[b], 2 * (m * x[b] + (1 - m) * other[b]))
    torch.testing.assert_close(stirred(AFF(6, gain=1.0))(x, other), y / 2)


def test_iaff_is_the_sum_written_by_hand(stirred, pair):
    module, (x, other) = stirred(IAFF(6)), pair
    y = module(x, other)
    for b in range(2):
        m = gate(module.first, x[b] + other[b])
        m = gate(module.second, m * x[b] + (1 - m) * other[b])
        torch.testing.assert_close(y[b], m * x[b] + (1 - m) * other[b])


@pytest.mark.parametrize("cls", [AFF, IAFF])
def test_shares_make_one(stirred, pair, cls):
    """Exchanged, the maps exchange their shares only if both are judged alike; equal ones stay."""
    module, (x, _) = stirred(cls(6)), pair
    gain = getattr(module, "gain", 1)
    torch.testing.assert_close(module(x, x), gain * x)


@pytest.mark.parametrize("cls", [AFF, IAFF])
def test_maps_of_two_sizes_are_refused(cls):
    name = cls.__name__.lower()
    with pytest.raises(FovealError, match=f"{name} fuses two maps of one size.*resize"):
        cls(8)(torch.rand(1, 8, 4, 4), torch.rand(1, 8, 2, 2))
    with pytest.raises(FovealError, match=f"{name} needs other: a map"):
        cls(8)(torch.rand(1, 8, 4, 4))
    assert attention_info(name).inputs == {"x": "map", "other": "map"}
