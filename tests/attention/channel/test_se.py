from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import SE


@pytest.mark.parametrize("bias", [False, True])
def test_is_the_sum_written_by_hand(stirred, tiny, bias):
    se = stirred(SE(6, reduction=3, bias=bias))
    y = se(tiny)
    for b in range(2):
        means = [sum(tiny[b, c].flatten()) / 12 for c in range(6)]
        hidden = []
        for j in range(2):
            total = sum(se.squeeze.weight[j, c] * means[c] for c in range(6))
            hidden.append(max(0.0, float(total + (se.squeeze.bias[j] if bias else 0))))
        for c in range(6):
            score = sum(se.excite.weight[c, j] * hidden[j] for j in range(2))
            score = float(score + (se.excite.bias[c] if bias else 0))
            torch.testing.assert_close(y[b, c], tiny[b, c] / (1 + exp(-score)))


@pytest.mark.parametrize(("channels", "reduction"), [(256, 16), (512, 8), (64, 4)])
def test_parameters_are_the_papers(channels, reduction):
    """Eq. 5 counts 2 C² / r for each block."""
    count = sum(p.numel() for p in SE(channels, reduction).parameters())
    assert count == 2 * channels**2 // reduction


def test_few_channels_keep_one_hidden_unit():
    se = SE(8)  # 8 // 16 would be none, and the gate a constant
    assert se.hidden == 1


def test_options_reach_the_gate(tiny):
    gate = SE(6, 2, gate="hard_sigmoid", act="silu", norm=True, add_max=True).attention_map
    assert gate(tiny.float()).shape == (2, 6, 1, 1)
    with pytest.raises(FovealError, match="did you mean hard_sigmoid"):
        SE(6, gate="hard_sigmoidd")
    with pytest.raises(FovealError, match="reduction=0"):
        SE(6, reduction=0)


def test_trains_on_one_image_with_a_norm():
    SE(8, 2, norm=True).train()(torch.rand(1, 8, 3, 3)).sum().backward()
