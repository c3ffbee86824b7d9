from math import sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import UFO


def test_is_the_sum_written_by_hand(stirred):
    module = stirred(UFO(6, num_heads=2, value_channels=2))
    x = torch.randn(2, 4, 6).double()
    y = module(x)
    for b in range(2):
        q, k, v = (x[b] @ module.qkv.weight.T + module.qkv.bias).split([6, 6, 4], dim=-1)
        heads = []
        for h in range(2):
            gamma = float(module.gamma[h])
            wanted = torch.zeros(4, 2).double()
            for c in range(3 * h, 3 * h + 3):
                row = [sum(float(k[n, c] * v[n, 2 * h + e]) for n in range(4)) for e in range(2)]
                length = sqrt(sum(value**2 for value in row))
                for n in range(4):
                    size = sqrt(sum(float(q[n, d]) ** 2 for d in range(3 * h, 3 * h + 3)))
                    for e in range(2):
                        wanted[n, e] += gamma * q[n, c] / size * gamma * row[e] / length
            heads.append(wanted)
        wanted = torch.cat(heads, dim=1) @ module.proj.weight.T + module.proj.bias
        torch.testing.assert_close(y[b], wanted)


def test_the_map_is_what_the_values_are_summed_with(stirred):
    module = stirred(UFO(8, num_heads=2))
    x, key, value = torch.randn(2, 5, 8), torch.randn(2, 7, 8), torch.randn(2, 7, 8)
    x, key, value = x.double(), key.double(), value.double()
    v = (value @ module.qkv.weight[16:].T + module.qkv.bias[16:]).unflatten(-1, (2, 4))
    heads = module.attention_map(x, key, value) @ v.transpose(1, 2)
    wanted = module.proj(heads.transpose(1, 2).flatten(2))
    torch.testing.assert_close(module(x, key, value), wanted)


def test_zeros_give_zeros():
    module = UFO(8, qkv_bias=False, proj_bias=False)
    x = torch.zeros(1, 5, 8, requires_grad=True)
    y = module(x)
    y.sum().backward()
    assert y.equal(torch.zeros(1, 5, 8))
    assert x.grad.isfinite().all()


def test_twice_the_tokens_change_nothing(stirred):
    """Lengths are divided by, so a set counted twice is the same set."""
    module = stirred(UFO(8))
    x = torch.randn(1, 5, 8).double()
    torch.testing.assert_close(module(torch.cat((x, x), 1))[:, :5], module(x))


def test_wrong_numbers_are_refused():
    with pytest.raises(FovealError, match="num_heads=3"):
        UFO(8, num_heads=3)
    with pytest.raises(FovealError, match="head_channels=0"):
        UFO(8, num_heads=2, head_channels=0)
