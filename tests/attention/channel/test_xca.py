from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import XCA


def test_is_the_sum_written_by_hand(stirred):
    xca = stirred(XCA(6, num_heads=2, qkv_bias=True))
    x = torch.randn(2, 5, 6).double()
    y = xca(x)
    for b in range(2):
        q, k, v = xca.qkv(x[b]).split(6, dim=-1)
        joined = torch.zeros(5, 6).double()
        for i in range(6):
            head = range(3) if i < 3 else range(3, 6)
            scores = []
            for j in head:
                length = sqrt(float((q[:, i] ** 2).sum())) * sqrt(float((k[:, j] ** 2).sum()))
                alike = sum(float(q[n, i] * k[n, j]) for n in range(5)) / length
                scores.append(exp(float(xca.temperature[i // 3]) * alike))
            for j, score in zip(head, scores, strict=True):
                joined[:, i] += score / sum(scores) * v[:, j]
        torch.testing.assert_close(y[b], xca.proj(joined))


def test_weights_are_of_channels_however_many_tokens():
    xca = XCA(16, num_heads=4)
    for tokens in (1, 7, 50):
        weights = xca.attention_map(torch.randn(2, tokens, 16))
        assert weights.shape == (2, 4, 4, 4)
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_bears_nothing_and_much(dtype):
    """In float16 the least norm that the authors divide by is zero, and sums of squares are ∞."""
    xca = XCA(8).to(dtype)
    assert xca(torch.zeros(1, 9, 8).to(dtype)).isfinite().all()
    assert xca(200 * torch.ones(1, 4096, 8).to(dtype)).isfinite().all()


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(FovealError, match="num_heads=3"):
        XCA(16, num_heads=3)
