from math import sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import AdditiveSwift


def test_is_the_sum_written_by_hand(stirred):
    module = stirred(AdditiveSwift(5, hidden=3))
    x = torch.randn(2, 4, 5).double()
    y = module(x)

    def linear(layer, v):
        return layer.weight @ v + layer.bias

    def direction(v):
        return v / sqrt(sum(float(number) ** 2 for number in v))

    for b in range(2):
        queries = [direction(linear(module.query, token)) for token in x[b]]
        keys = [direction(linear(module.key, token)) for token in x[b]]
        scores = [float(module.score.weight[0] @ q) / sqrt(3) for q in queries]
        length = sqrt(sum(s * s for s in scores))
        together = sum(s / length * q for s, q in zip(scores, queries, strict=True))
        for i in range(4):
            wanted = linear(module.proj, linear(module.mix, together * keys[i]) + queries[i])
            torch.testing.assert_close(y[b, i], wanted)


def test_the_squares_of_the_weights_sum_to_one(stirred):
    weights = stirred(AdditiveSwift(8)).attention_map(torch.randn(2, 6, 8).double())
    assert weights.shape == (2, 1, 6)
    torch.testing.assert_close(weights.square().sum(-1), torch.ones(2, 1).double())


def test_agrees_with_timms_layer():
    swiftformer = pytest.importorskip("timm.models.swiftformer")

    theirs = swiftformer.EfficientAdditiveAttention(in_dims=16, token_dim=16, num_heads=2).double()
    ours = AdditiveSwift(16, hidden=32).double()
    for our, their in {
        "query": "to_query", "key": "to_key", "mix": "proj", "proj": "final"
    }.items():  # fmt: skip
        layer = getattr(theirs, their)
        getattr(ours, our).weight.data.copy_(layer.weight.flatten(1))
        getattr(ours, our).bias.data.copy_(layer.bias)
    ours.score.weight.data.copy_(theirs.w_g.flatten()[None])
    x = torch.randn(2, 16, 5, 7).double()
    wanted = theirs(x).flatten(2).mT
    torch.testing.assert_close(ours(x.flatten(2).mT), wanted)


def test_the_width_must_be_positive():
    assert AdditiveSwift(48).hidden == 48
    with pytest.raises(FovealError, match="hidden=0"):
        AdditiveSwift(8, hidden=0)
