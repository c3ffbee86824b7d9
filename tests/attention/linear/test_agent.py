from math import exp, sqrt

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import Agent


def softmax_sum(query, keys, bias, values):
    """Σ softmax(query · key / √d + bias) value, over keys and values (n, d)."""
    d = len(query)
    terms = [exp(float(query @ k) / sqrt(d) + float(b)) for k, b in zip(keys, bias, strict=True)]
    return sum(t / sum(terms) * v for t, v in zip(terms, values, strict=True))


def test_is_the_sum_written_by_hand(stirred):
    module = stirred(Agent(4, num_heads=2, num_tokens=4, window_size=(2, 4), qkv_bias=True))
    x = torch.randn(2, 4, 2, 4).double()
    y = module(x)
    for b in range(2):
        tokens = x[b].flatten(1).T
        q, k, v = (tokens @ module.qkv.weight.T + module.qkv.bias).split(4, dim=1)
        queries = q.view(2, 4, 4)
        agents = torch.stack(  # the means of a row's halves
            [queries[i, j : j + 2].mean(0) for i in range(2) for j in (0, 2)]
        )
        biases = []
        for table in module.of_keys, module.of_queries:
            grid = F.interpolate(table.grid, (2, 4), mode="bilinear")
            bias = torch.zeros(2, 4, 8).double()
            for n in range(8):
                i, j = divmod(n, 4)
                bias[..., n] = grid[..., i, j] + table.rows[..., i] + table.columns[..., j]
            biases.append(bias)
        wanted = torch.zeros(8, 4).double()
        for h in range(2):
            part = slice(2 * h, 2 * h + 2)
            found = [
                softmax_sum(agents[a, part], k[:, part], biases[0][h, a], v[:, part])
                for a in range(4)
            ]
            for n in range(8):
                wanted[n, part] = softmax_sum(
                    q[n, part], agents[:, part], biases[1][h, :, n], found
                )
        values = F.pad(v.T.view(4, 2, 4), (1, 1, 1, 1))
        for n in range(8):
            i, j = divmod(n, 4)
            for c in range(4):
                taps = module.local.weight[c, 0]
                wanted[n, c] += (taps * values[c, i : i + 3, j : j + 3]).sum()
                wanted[n, c] += module.local.bias[c]
        wanted = (wanted @ module.proj.weight.T + module.proj.bias).T.view(4, 2, 4)
        torch.testing.assert_close(y[b], wanted)


def test_each_agents_weights_sum_to_one(stirred, tiny):
    weights = stirred(Agent(6, num_heads=2, num_tokens=9)).attention_map(tiny)
    assert weights.shape == (2, 2, 9, 12)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 9).double())


def test_tables_are_stretched_like_images(stirred):
    table = stirred(Agent(8, num_heads=2, num_tokens=4, window_size=5)).of_keys
    assert table(9, 3).shape == (2, 4, 27)
    nothing = torch.zeros_like(table.grid)
    rows = F.interpolate(table.rows, 9, mode="linear")
    table.grid.copy_(nothing)
    table.columns.zero_()
    torch.testing.assert_close(table(9, 3).view(2, 4, 9, 3), rows[..., None].expand(2, 4, 9, 3))


def test_agents_are_a_square():
    assert Agent(64).side == 7
    for wrong in (0, -4, 48):
        with pytest.raises(FovealError, match=f"num_tokens={wrong}"):
            Agent(8, num_tokens=wrong)
    with pytest.raises(FovealError, match="num_heads=3"):
        Agent(8, num_heads=3)
