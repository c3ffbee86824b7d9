from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import MobileViTv2


@pytest.mark.parametrize("bias", [True, False])
def test_is_the_sum_written_by_hand(stirred, bias):
    module = stirred(MobileViTv2(5, bias=bias))
    x = torch.randn(2, 4, 5).double()
    y = module(x)

    def linear(layer, v):
        return layer.weight @ v + (layer.bias if bias else 0)

    for b in range(2):
        exponentials = [exp(float(module.score.weight[0] @ token)) for token in x[b]]
        context = torch.zeros(5).double()
        for e, token in zip(exponentials, x[b], strict=True):
            context += e / sum(exponentials) * linear(module.key, token)
        for i in range(4):
            values = linear(module.value, x[b, i]).clamp(min=0)
            torch.testing.assert_close(y[b, i], linear(module.proj, values * context))


def test_one_context_serves_all_tokens(stirred):
    module = stirred(MobileViTv2(8))
    x = torch.randn(2, 6, 8).double()
    weights = module.attention_map(x)
    assert weights.shape == (2, 1, 6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 1).double())
    torch.testing.assert_close(module(x[:, :2], key=x), module(x)[:, :2])


def test_dropped_weights_drop_the_keys_bias_too():
    module = MobileViTv2(8, attention_dropout=0.5).train()
    x = torch.randn(1, 64, 8)
    torch.manual_seed(0)
    y = module(x)
    torch.manual_seed(0)
    weights = module.dropout(module.attention_map(x))
    context = (weights.mT * module.key(x)).sum(1, keepdim=True)
    torch.testing.assert_close(y, module.proj(module.value(x).relu() * context))


def test_parameters_are_the_papers():
    """A branch of C × 1, two of C × C, and the layer that joins them."""
    assert sum(p.numel() for p in MobileViTv2(64, bias=False).parameters()) == 64 + 3 * 64**2


def test_unknown_activation_is_refused():
    with pytest.raises(FovealError, match="relu"):
        MobileViTv2(8, act="relu7")
