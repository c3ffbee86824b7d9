from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import SimplifiedSA


def test_is_the_sum_written_by_hand(stirred):
    module = stirred(SimplifiedSA(6, num_heads=2))
    x = torch.randn(2, 4, 6).double()
    y = module(x)
    for b in range(2):
        heads = []
        for h in range(2):
            t = x[b, :, h * 3 : h * 3 + 3]
            rows = []
            for i in range(4):
                exponentials = [exp(float(t[i] @ t[j]) / sqrt(3)) for j in range(4)]
                rows.append(sum(e / sum(exponentials) * t[j] for j, e in enumerate(exponentials)))
            heads.append(torch.stack(rows))
        wanted = torch.cat(heads, dim=1) @ module.proj.weight.T + module.proj.bias
        torch.testing.assert_close(y[b], wanted)


def test_attends_to_other_tokens_when_given_them(stirred):
    module = stirred(SimplifiedSA(8, 2))
    x, key, value = (torch.randn(2, n, 8).double() for n in (4, 7, 7))
    weights = module.attention_map(x, key)
    assert weights.shape == (2, 2, 4, 7)
    values = value.unflatten(-1, (2, 4)).transpose(1, 2)
    wanted = module.proj((weights @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(module(x, key, value), wanted)
    torch.testing.assert_close(module(x), module(x, x.clone(), x.clone()))


def test_heads_fit_the_channels_or_are_refused():
    assert [SimplifiedSA(c).num_heads for c in (64, 20, 7, 1)] == [8, 5, 1, 1]
    with pytest.raises(FovealError, match="channels=20 do not divide into num_heads=8"):
        SimplifiedSA(20, num_heads=8)


def test_a_quarter_of_the_parameters_of_self_attention():
    assert sum(p.numel() for p in SimplifiedSA(64, proj_bias=False).parameters()) == 64**2


def test_dropout_acts_in_training_only():
    module, x = SimplifiedSA(8, attention_dropout=0.5), torch.randn(1, 6, 8)
    assert torch.equal(module.eval()(x), module(x))
    assert not torch.equal(module.train()(x), module(x))
