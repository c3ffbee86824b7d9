from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import ShuffleAttention
from foveal.measure import count_traffic


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_is_the_sum_written_by_hand(stirred, groups):
    module = stirred(ShuffleAttention(12, groups))
    x = torch.randn(2, 12, 3, 4).double()
    y, width = module(x), 12 // (2 * groups)
    for b in range(2):
        gated = []
        for g in range(groups):
            for half in range(2):
                for d in range(width):
                    part = x[b, (2 * g + half) * width + d]
                    values = part.flatten().tolist()
                    mean = sum(values) / 12
                    if half == 0:
                        line = module.channel_weight[d] * mean + module.channel_bias[d]
                        gated.append(part / (1 + exp(-float(line))))
                        continue
                    spread = sqrt(sum((v - mean) ** 2 for v in values) / 12 + 1e-5)
                    normed = (part - mean) / spread * module.norm.weight[d] + module.norm.bias[d]
                    line = module.spatial_weight[d] * normed + module.spatial_bias[d]
                    gated.append(part * line.sigmoid())
        for c in range(12):  # the second half of all channels goes between those of the first
            torch.testing.assert_close(y[b, c], gated[(c % 2) * 6 + c // 2])


@pytest.mark.parametrize(
    ("channels", "groups"), [(256, 64), (2048, 64), (64, 16), (8, 2), (20, 5), (2, 1)]
)
def test_groups_are_the_papers_or_fit(channels, groups):
    assert ShuffleAttention(channels).groups == groups


def test_parameters_are_the_papers():
    """3 C / G for the lines and the normalisation of both halves."""
    count = sum(p.numel() for p in ShuffleAttention(512, groups=64).parameters())
    assert count == 3 * 512 // 64


def test_moves_less_than_the_best_published():
    x = torch.rand(8, 256, 14, 14, requires_grad=True)
    for mode, most in ("infer", 9.01), ("train", 32.02):
        assert count_traffic(ShuffleAttention(256), x, mode).bytes_moved < most * 4 * x.numel()


def test_what_does_not_divide_is_refused():
    with pytest.raises(FovealError, match="channels=7 must be even"):
        ShuffleAttention(7)
    with pytest.raises(FovealError, match="groups=3"):
        ShuffleAttention(16, groups=3)
