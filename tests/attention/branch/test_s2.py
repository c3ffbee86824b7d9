from math import erf, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import S2
from foveal.attention.branch.s2 import _DOWN, _LEFT, _RIGHT, _UP, _shift

STEPS = {"down": (-1, 0), "up": (1, 0), "right": (0, -1), "left": (0, 1)}
"""From where a position takes what moves onto it."""


def test_is_the_sum_written_by_hand(stirred):
    s2 = stirred(S2(4, hidden=3))
    x = torch.randn(2, 4, 3, 5).double()
    y = s2(x)
    ways = ("down", "up", "right", "left"), ("right", "left", "down", "up"), None
    for b in range(2):
        v = torch.einsum("oc,chw->ohw", s2.expand.weight[..., 0, 0], x[b])
        v = (v + s2.expand.bias[:, None, None]).view(3, 4, 3, 5)
        u = torch.zeros_like(v)
        for m in range(3):
            for c in range(4):
                for i in range(3):
                    for j in range(5):
                        di, dj = (0, 0) if ways[m] is None else STEPS[ways[m][c]]
                        r, s = i + di, j + dj
                        inside = 0 <= r < 3 and 0 <= s < 5
                        u[m, c, i, j] = v[m, c, r, s] if inside else v[m, c, i, j]
        hidden = s2.choose[0].weight @ u.sum((0, 2, 3))
        hidden = torch.tensor([h * (1 + erf(h / sqrt(2))) / 2 for h in hidden.tolist()]).double()
        scores = (s2.choose[2].weight @ hidden).view(3, 4).exp()
        shares = scores / scores.sum(0)
        mixed = sum(shares[m, :, None, None] * u[m] for m in range(3))
        wanted = torch.einsum("oc,chw->ohw", s2.proj.weight[..., 0, 0], mixed)
        torch.testing.assert_close(y[b], wanted + s2.proj.bias[:, None, None])


def test_shifts_do_not_smear():
    """On 0 … 5 a shift gives 0 0 1 2 3 4, not 0 0 0 0 0 0."""
    line = torch.arange(6.0)
    for way, wanted in (_RIGHT, [0, 0, 1, 2, 3, 4]), (_LEFT, [1, 2, 3, 4, 5, 5]):
        moved = _shift(line.view(1, 1, 1, 6).expand(1, 4, 2, 6), (way,) * 4)
        assert (moved == torch.tensor(wanted)).all()
    for way, wanted in (_DOWN, [0, 0, 1, 2, 3, 4]), (_UP, [1, 2, 3, 4, 5, 5]):
        moved = _shift(line.view(1, 1, 6, 1).expand(1, 4, 6, 2), (way,) * 4)
        assert (moved == torch.tensor(wanted)[:, None]).all()


@pytest.mark.parametrize("channels", [1, 2, 6, 7])
def test_any_number_of_channels_has_quarters(channels):
    x = torch.arange(channels * 12.0).view(1, channels, 3, 4)
    moved = _shift(x, (_DOWN, _UP, _RIGHT, _LEFT))
    assert moved.shape == x.shape
    assert (moved[0].flatten(1).amin(1) >= x[0].flatten(1).amin(1)).all()  # channels stay in place


def test_shares_of_a_channel_sum_to_one(stirred, tiny):
    shares = stirred(S2(6)).attention_map(tiny)
    assert shares.shape == (2, 3, 6, 1, 1)
    torch.testing.assert_close(shares.sum(1), torch.ones(2, 6, 1, 1).double())


def test_the_width_must_be_positive():
    with pytest.raises(FovealError, match="hidden=0"):
        S2(8, hidden=0)
