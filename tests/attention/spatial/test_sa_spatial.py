from math import sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import SASpatial


@pytest.mark.parametrize("norm", [True, False])
def test_is_the_sum_written_by_hand(stirred, tiny, norm):
    gate = stirred(SASpatial(6, kernel_size=3, norm=norm, bias=not norm))
    y, w = gate(tiny), gate.conv.weight[0]
    for b in range(2):
        for h in range(3):
            for v in range(4):
                score = 0.0 if norm else float(gate.conv.bias)
                for i in range(3):
                    for j in range(3):
                        r, c = h + i - 1, v + j - 1
                        if 0 <= r < 3 and 0 <= c < 4:
                            values = tiny[b, :, r, c].tolist()
                            score += float(w[0, i, j]) * max(values)
                            score += float(w[1, i, j]) * sum(values) / 6
                if norm:
                    bn = gate.bn
                    score = (score - float(bn.running_mean)) / sqrt(float(bn.running_var) + 1e-5)
                    score = score * float(bn.weight) + float(bn.bias)
                weight = torch.tensor(score).double().sigmoid()
                torch.testing.assert_close(y[b, :, h, v], tiny[b, :, h, v] * weight)


def test_parameters():
    assert sum(p.numel() for p in SASpatial(64, norm=False).parameters()) == 2 * 49


def test_an_even_kernel_is_refused():
    with pytest.raises(FovealError, match="kernel_size=8 must be odd"):
        SASpatial(16, kernel_size=8)
