from math import exp, sqrt

import pytest
import torch
from torch import nn

from foveal import FovealError
from foveal.attention import MHSA


def test_is_the_sum_written_by_hand(stirred):
    mhsa = stirred(MHSA(6, num_heads=2, qkv_bias=True, proj_bias=True))
    x = torch.randn(2, 4, 6).double()
    y = mhsa(x)
    for b in range(2):
        projected = x[b] @ mhsa.qkv.weight.T + mhsa.qkv.bias  # (4, 18): queries, keys, values
        heads = []
        for h in range(2):
            q, k, v = (projected[:, part * 6 + h * 3 : part * 6 + h * 3 + 3] for part in range(3))
            rows = []
            for i in range(4):
                exponentials = [exp(float(q[i] @ k[j]) / sqrt(3)) for j in range(4)]
                rows.append(sum(e / sum(exponentials) * v[j] for j, e in enumerate(exponentials)))
            heads.append(torch.stack(rows))
        wanted = torch.cat(heads, dim=1) @ mhsa.proj.weight.T + mhsa.proj.bias
        torch.testing.assert_close(y[b], wanted)


@pytest.mark.parametrize(("channels", "heads"), [(64, 8), (512, 8), (24, 3)])
def test_parameters_are_the_papers(channels, heads):
    """Four projections of C × C: h (2 d_k + d_v) C + h d_v C with d_k = d_v = C / h."""
    assert sum(p.numel() for p in MHSA(channels, heads).parameters()) == 4 * channels**2


def test_attends_to_other_tokens_when_given_them(stirred):
    mhsa = stirred(MHSA(8, 2, head_channels=5, value_channels=3, qkv_bias=True))
    x, key, value = torch.randn(2, 4, 8), torch.randn(2, 7, 8), torch.randn(2, 7, 8)
    x, key, value = x.double(), key.double(), value.double()
    assert mhsa(x, key, value).shape == (2, 4, 8)
    torch.testing.assert_close(mhsa(x), mhsa(x, x.clone(), x.clone()))
    # a token among the keys, repeated, is as one token: the softmax shares its weight out
    torch.testing.assert_close(mhsa(x, key[:, :1]), mhsa(x, key[:, :1].repeat(1, 5, 1)))


def test_the_map_is_what_forward_uses(stirred):
    mhsa = stirred(MHSA(8, 2, qk_norm=True))
    x = torch.randn(2, 5, 8).double()
    weights = mhsa.attention_map(x)
    assert weights.shape == (2, 2, 5, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 5).double())
    values = (x @ mhsa.qkv.weight[16:].T).unflatten(-1, (2, 4)).transpose(1, 2)
    torch.testing.assert_close(mhsa(x), mhsa.proj((weights @ values).transpose(1, 2).flatten(2)))


def test_dropout_acts_in_training_only():
    mhsa = MHSA(8, 2, attention_dropout=0.5, dropout=0.5)
    x = torch.randn(1, 6, 8)
    assert torch.equal(mhsa.eval()(x), mhsa(x))
    assert not torch.equal(mhsa.train()(x), mhsa(x))


def test_heads_must_divide_the_channels():
    with pytest.raises(FovealError, match="channels=20 do not divide into num_heads=8"):
        MHSA(20)
    assert MHSA(20, head_channels=4)(torch.rand(1, 3, 20)).shape == (1, 3, 20)
    with pytest.raises(FovealError, match="head_channels=0"):
        MHSA(20, head_channels=0)


def test_agrees_with_torchs_own_layer():
    theirs = nn.MultiheadAttention(16, 4, bias=False, batch_first=True)
    ours = MHSA(16, 4)
    ours.qkv.weight.data.copy_(theirs.in_proj_weight)
    ours.proj.weight.data.copy_(theirs.out_proj.weight)
    x = torch.randn(2, 9, 16)
    torch.testing.assert_close(ours(x), theirs(x, x, x)[0])
