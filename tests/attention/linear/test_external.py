from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import ExternalAttention


def test_is_the_sum_written_by_hand(stirred):
    module = stirred(ExternalAttention(6, num_tokens=5))
    x = torch.randn(2, 4, 6).double()
    y = module(x)
    for b in range(2):
        scores = [[float(x[b, n] @ module.keys.weight[j]) for j in range(5)] for n in range(4)]
        columns = [sum(exp(scores[n][j]) for n in range(4)) for j in range(5)]
        for n in range(4):
            shares = [exp(scores[n][j]) / columns[j] for j in range(5)]  # softmax over the tokens
            weights = [share / sum(shares) for share in shares]  # then over the memory
            wanted = sum(weights[j] * module.values.weight[:, j] for j in range(5))
            torch.testing.assert_close(y[b, n], wanted)


def test_multi_head_shares_one_memory(stirred):
    module = stirred(ExternalAttention(8, num_tokens=5, num_heads=2, expansion=2))
    x = torch.randn(2, 4, 8).double()
    wide = x @ module.expand.weight.T  # (2, 4, 16): four heads of four
    heads = []
    for h in range(4):
        scores = wide[..., 4 * h : 4 * h + 4] @ module.keys.weight.T
        shares = scores.softmax(1)
        weights = shares / shares.sum(2, keepdim=True)
        heads.append(weights @ module.values.weight.T + module.values.bias)
    wanted = torch.cat(heads, -1) @ module.proj.weight.T + module.proj.bias
    torch.testing.assert_close(module(x), wanted)


@pytest.mark.parametrize("options", [{}, {"num_heads": 2}])
def test_rows_sum_to_one(stirred, options):
    weights = stirred(ExternalAttention(8, **options)).attention_map(torch.randn(2, 9, 8).double())
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


def test_a_token_that_no_memory_wants_is_finite():
    """Its softmax over the tokens underflows in every row, and 0 / 0 is the usual result."""
    x = torch.zeros(1, 2, 4)
    x[:, 1] = 1e4
    module = ExternalAttention(4, num_tokens=3)
    torch.nn.init.ones_(module.keys.weight)
    assert module(x).isfinite().all()


def test_eps_makes_rows_sum_to_less(stirred):
    module = stirred(ExternalAttention(4, num_tokens=3, eps=0.5))
    x = torch.randn(1, 6, 4).double()
    shares = (x @ module.keys.weight.T).softmax(1)
    wanted = shares / (0.5 + shares.sum(-1, keepdim=True))
    torch.testing.assert_close(module.attention_map(x)[:, 0], wanted)


def test_parameters_are_the_papers():
    """Two memories of S × C and nothing else."""
    assert sum(p.numel() for p in ExternalAttention(512, 64).parameters()) == 2 * 64 * 512


def test_wrong_numbers_are_refused():
    with pytest.raises(FovealError, match="num_tokens=0"):
        ExternalAttention(8, 0)
    with pytest.raises(FovealError, match="do not divide into num_heads=3"):
        ExternalAttention(8, num_heads=3)
