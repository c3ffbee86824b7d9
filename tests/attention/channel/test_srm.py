from math import exp, sqrt

import torch

from foveal.attention import SRM
from foveal.measure import count_traffic


def test_is_the_sum_written_by_hand(stirred, tiny):
    srm = stirred(SRM(6))
    y = srm(tiny)
    for b in range(2):
        for c in range(6):
            values = tiny[b, c].flatten().tolist()
            mean = sum(values) / 12
            deviation = sqrt(sum((v - mean) ** 2 for v in values) / 11 + 1e-5)
            style = float(srm.style_weight[c, 0]) * mean + float(srm.style_weight[c, 1]) * deviation
            norm = srm.bn
            style = (style - norm.running_mean[c]) / sqrt(norm.running_var[c] + norm.eps)
            weight = 1 / (1 + exp(-float(style * norm.weight[c] + norm.bias[c])))
            torch.testing.assert_close(y[b, c], tiny[b, c] * weight)


def test_is_born_undecided():
    """The style weights start at 0, so that every gate starts at a half."""
    x = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(SRM(8)(x), x / 2)


def test_one_position_has_no_deviation(stirred):
    srm = stirred(SRM(6))
    x = torch.randn(2, 6, 1, 1).double()
    style = x[..., 0, 0] * srm.style_weight[:, 0] + 1e-5**0.5 * srm.style_weight[:, 1]
    torch.testing.assert_close(srm(x), x * srm.bn(style).sigmoid()[..., None, None])
    assert srm.train()(x[:1]).isfinite().all()


def test_moves_little():
    x = torch.rand(8, 64, 32, 32, requires_grad=True)
    for mode, most in ("infer", 4.1), ("train", 12.2):  # of the published ones: 4.02 and 23.06
        assert count_traffic(SRM(64), x, mode).bytes_moved < most * 4 * x.numel()
