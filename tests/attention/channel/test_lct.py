from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import LCT


def test_is_the_sum_written_by_hand(stirred, tiny):
    lct = stirred(LCT(6, groups=2))
    y = lct(tiny)
    for b in range(2):
        means = [sum(tiny[b, c].flatten().tolist()) / 12 for c in range(6)]
        for c in range(6):
            group = means[:3] if c < 3 else means[3:]
            mean = sum(group) / 3
            variance = sum((m - mean) ** 2 for m in group) / 3
            place = (means[c] - mean) / sqrt(variance + 1e-5)
            weight = 1 / (1 + exp(-float(lct.weight[c] * place + lct.bias[c])))
            torch.testing.assert_close(y[b, c], tiny[b, c] * weight)


def test_is_born_with_one_gate_for_all():
    """w starts at 0 and b at 1."""
    x = torch.randn(2, 8, 3, 3)
    torch.testing.assert_close(LCT(8)(x), x * torch.sigmoid(torch.tensor(1.0)))


@pytest.mark.parametrize(
    ("channels", "groups"), [(256, 64), (2048, 64), (64, 16), (20, 5), (7, 1), (2, 1)]
)
def test_no_group_is_a_single_channel(channels, groups):
    assert LCT(channels).groups == groups


def test_one_channel_is_its_own_mean():
    assert LCT(1)(torch.randn(1, 1, 2, 2)).isfinite().all()


def test_what_does_not_fit_is_refused():
    for options in ({"groups": 5}, {"groups": 0}, {"eps": 0.0}):
        with pytest.raises(FovealError):
            LCT(16, **options)
