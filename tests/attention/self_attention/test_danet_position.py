from math import exp

import torch

from foveal.attention import DANetPosition


def test_is_the_sum_written_by_hand(stirred, tiny):
    module = stirred(DANetPosition(6, reduction=2))
    y = module(tiny).flatten(2)
    for b in range(2):
        x = tiny[b].flatten(1)  # (6, 12), positions in rows of the map
        q = [module.query.weight @ x[:, n] + module.query.bias for n in range(12)]
        k = [module.key.weight @ x[:, n] for n in range(12)]
        v = [module.value.weight @ x[:, n] + module.value.bias for n in range(12)]
        for n in range(12):
            exponentials = [exp(float(q[n] @ k[m])) for m in range(12)]
            attended = sum(e / sum(exponentials) * v[m] for m, e in enumerate(exponentials))
            torch.testing.assert_close(y[b, :, n], x[:, n] + module.gamma * attended)


def test_rows_of_the_map_sum_to_one(stirred, tiny):
    weights = stirred(DANetPosition(6)).attention_map(tiny)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 12).double())


def test_is_born_an_identity():
    x = torch.randn(2, 16, 5, 7)
    torch.testing.assert_close(DANetPosition(16)(x), x)


def test_few_channels_keep_one_query_channel():
    assert DANetPosition(4).hidden == 1
