from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import LinearELU


def phi(value):
    return value + 1 if value > 0 else exp(value)


def test_is_the_sum_written_by_hand(stirred):
    module = stirred(LinearELU(6, num_heads=2))
    x = torch.randn(2, 4, 6).double()
    y = module(x)
    for b in range(2):
        projected = x[b] @ module.qkv.weight.T + module.qkv.bias  # (4, 18)
        heads = []
        for h in range(2):
            q, k, v = (projected[:, part * 6 + h * 3 : part * 6 + h * 3 + 3] for part in range(3))
            rows = []
            for i in range(4):
                scores = [
                    sum(phi(float(q[i, c])) * phi(float(k[j, c])) for c in range(3))
                    for j in range(4)
                ]
                rows.append(sum(s * v[j] for j, s in enumerate(scores)) / (sum(scores) + 1e-6))
            heads.append(torch.stack(rows))
        wanted = torch.cat(heads, dim=1) @ module.proj.weight.T + module.proj.bias
        torch.testing.assert_close(y[b], wanted)


def test_rows_sum_to_one(stirred):
    weights = stirred(LinearELU(8)).attention_map(torch.randn(2, 5, 8).double())
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 5).double(), rtol=0, atol=1e-4)


def test_half_precision_survives_many_tokens():
    module = LinearELU(8, feature="relu").half()
    assert module(30 * torch.rand(1, 10000, 8).half()).isfinite().all()


def test_options_are_checked():
    with pytest.raises(FovealError, match="num_heads=3"):
        LinearELU(8, num_heads=3)
    with pytest.raises(FovealError, match="no feature map 'elo'"):
        LinearELU(8, feature="elo")
