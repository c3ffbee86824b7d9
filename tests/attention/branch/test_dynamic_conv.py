from math import exp

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import DynamicConv


def test_is_the_sum_written_by_hand(stirred, tiny):
    dynamic = stirred(DynamicConv(6, num_experts=3, groups=2, hidden=4, temperature=2.0))
    y = dynamic(tiny)
    for b in range(2):
        means = tiny[b].mean((1, 2))
        hidden = (dynamic.squeeze.weight @ means + dynamic.squeeze.bias).clamp(min=0)
        scores = dynamic.score.weight @ hidden + dynamic.score.bias
        total = sum(exp(float(s) / 2) for s in scores)
        shares = [exp(float(s) / 2) / total for s in scores]
        padded = F.pad(tiny[b], (1,) * 4)
        for o in range(6):
            wanted = sum(shares[k] * dynamic.bias[k, o] for k in range(3)).repeat(3, 4)
            for i in range(3):
                for r in range(3):
                    for s in range(3):
                        weight = sum(
                            shares[k] * dynamic.kernels[k * 6 + o, i, r, s] for k in range(3)
                        )
                        wanted += weight * padded[i + o // 3 * 3, r : r + 3, s : s + 4]
            torch.testing.assert_close(y[b, o], wanted)


def test_a_high_temperature_makes_the_shares_alike(stirred, tiny):
    dynamic = stirred(DynamicConv(6))
    spreads = []
    for dynamic.temperature in (30.0, 10.0, 1.0):  # as it is annealed in training
        shares = dynamic.attention_map(tiny)
        torch.testing.assert_close(shares.sum(1), torch.ones(2).double())
        spreads.append(float(shares.std(1).mean()))
    assert spreads == sorted(spreads)


def test_one_kernel_is_a_plain_convolution(stirred, tiny):
    dynamic = stirred(DynamicConv(6, num_experts=1))
    wanted = F.conv2d(tiny, dynamic.kernels, dynamic.bias[0], padding=1)
    torch.testing.assert_close(dynamic(tiny), wanted)


def test_defaults_are_the_papers():
    """K = 4 kernels, a hidden layer of C / 4, a temperature of 30."""
    dynamic = DynamicConv(64)
    assert (dynamic.num_experts, dynamic.hidden, dynamic.temperature) == (4, 16, 30.0)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 4},
        {"num_experts": 0},
        {"groups": 3},
        {"temperature": 0},
        {"reduction": 0},
        {"hidden": 0},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        DynamicConv(16, **options)
