from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import EfficientAttention


def softmax(scores):
    shares = [exp(float(score)) for score in scores]
    return [share / sum(shares) for share in shares]


def test_is_the_sum_written_by_hand(stirred, tiny):
    module = stirred(EfficientAttention(6, key_channels=4, value_channels=6, num_heads=2))
    y = module(tiny)
    both, key = module.query_value, module.key.weight[..., 0, 0]
    for image, found in zip(tiny.flatten(2), y.flatten(2), strict=True):
        columns = image.T
        read = [both.weight[..., 0, 0] @ column + both.bias for column in columns]
        attended = [[] for _ in columns]
        for h in range(2):
            contexts = []  # one for each key channel of the head
            for k in (2 * h, 2 * h + 1):
                shares = softmax(key[k] @ column for column in columns)
                values = [row[4 + 3 * h : 7 + 3 * h] for row in read]
                contexts.append(sum(s * v for s, v in zip(shares, values, strict=True)))
            for n, row in enumerate(read):
                mix = softmax(row[2 * h : 2 * h + 2])
                attended[n].append(mix[0] * contexts[0] + mix[1] * contexts[1])
        for n, parts in enumerate(attended):
            projected = module.proj.weight[..., 0, 0] @ torch.cat(parts) + module.proj.bias
            torch.testing.assert_close(found[:, n], image[:, n] + projected)


def test_the_default_heads_do_not_degenerate():
    """A softmax over a single channel would be 1 whatever the query."""
    for channels in 1, 2, 8, 20, 64, 65:
        module = EfficientAttention(channels)
        assert module.key_channels // module.num_heads >= 4
    assert EfficientAttention(64).num_heads == 8


def test_queries_count(stirred, tiny):
    module = stirred(EfficientAttention(6))
    before = module(tiny)
    module.query_value.weight[0] += 1
    assert not torch.allclose(module(tiny), before)


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(FovealError, match="num_heads=3 must divide key_channels=4"):
        EfficientAttention(8, num_heads=3)
