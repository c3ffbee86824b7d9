from math import exp

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import CondConv


def test_is_the_sum_written_by_hand(stirred, tiny):
    """Eq. 2: the experts' results, each convolved apart, weighed by its sigmoid and summed."""
    cond = stirred(CondConv(6, num_experts=3, groups=3))
    y = cond(tiny)
    for b in range(2):
        means = tiny[b].mean((1, 2))
        padded, wanted = F.pad(tiny[b], (1,) * 4), torch.zeros(6, 3, 4).double()
        for k in range(3):
            score = float(cond.route.weight[k] @ means + cond.route.bias[k])
            for o in range(6):
                for i in range(2):
                    for r in range(3):
                        for s in range(3):
                            tap = padded[o // 2 * 2 + i, r : r + 3, s : s + 4]
                            weight = cond.kernels[k * 6 + o, i, r, s]
                            wanted[o] += weight * tap / (1 + exp(-score))
        torch.testing.assert_close(y[b], wanted)


def test_experts_do_not_compete(stirred, tiny):
    cond = stirred(CondConv(6))
    before = cond.attention_map(tiny)
    cond.route.bias[0] += 3
    after = cond.attention_map(tiny)
    assert (after[:, 0] > before[:, 0]).all()
    assert after[:, 1:].equal(before[:, 1:])


def test_eight_experts_as_in_the_paper():
    assert CondConv(16).num_experts == 8
    assert sum(p.numel() for p in CondConv(16).parameters()) == 8 * 16 * 16 * 9 + 8 * 17


@pytest.mark.parametrize("options", [{"kernel_size": 2}, {"num_experts": 0}, {"groups": 5}])
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        CondConv(16, **options)
