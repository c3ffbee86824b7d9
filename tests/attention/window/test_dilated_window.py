from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import DilatedWindow


@pytest.mark.parametrize("mask_edges", [False, True])
def test_is_the_sum_written_by_hand(stirred, tiny, mask_edges):
    """Three heads of two channels, at rates 1, 1 and 3."""
    attention = stirred(
        DilatedWindow(6, num_heads=3, dilation=(1, 3), qkv_bias=True, mask_edges=mask_edges)
    )
    x = tiny[0]
    q, k, v = (
        torch.einsum("oc,chw->ohw", w[..., 0, 0], x) + b[:, None, None]
        for w, b in zip(attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3), strict=True)
    )
    mixed = torch.zeros_like(x)
    for i in range(3):
        for j in range(4):
            for head, rate in enumerate((1, 1, 3)):
                part, scores, values = slice(2 * head, 2 * head + 2), [], []
                for row in range(i - rate, i + rate + 1, rate):
                    for column in range(j - rate, j + rate + 1, rate):
                        inside = 0 <= row < 3 and 0 <= column < 4
                        if not inside and mask_edges:
                            continue
                        key = k[part, row, column] if inside else torch.zeros(2).double()
                        scores.append(exp(float(q[part, i, j] @ key) / sqrt(2)))
                        values.append(v[part, row, column] if inside else 0 * key)
                mean = sum(s * u for s, u in zip(scores, values, strict=True)) / sum(scores)
                mixed[part, i, j] = mean
    wanted = torch.einsum("oc,chw->ohw", attention.proj.weight[..., 0, 0], mixed)
    torch.testing.assert_close(attention(tiny)[0], wanted + attention.proj.bias[:, None, None])


@pytest.mark.parametrize(
    ("heads", "shares"), [(3, [1, 1, 1]), (8, [3, 3, 2]), (6, [2, 2, 2]), (2, [1, 1]), (1, [1])]
)
def test_heads_are_shared_out_among_the_rates(heads, shares):
    attention = DilatedWindow(24, num_heads=heads)
    assert attention.shares == shares
    assert attention.dilation == [1, 2, 3][: len(shares)]


def test_the_map_is_of_each_positions_neighbours(stirred):
    weights = stirred(DilatedWindow(8)).attention_map(torch.randn(1, 8, 5, 6).double())
    assert weights.shape == (1, 2, 5, 6, 9)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 2, 5, 6).double())


@pytest.mark.parametrize(
    "options", [{"num_heads": 3}, {"kernel_size": 2}, {"dilation": ()}, {"dilation": (1, 0)}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError, match=next(iter(options))):
        DilatedWindow(16, **options)
