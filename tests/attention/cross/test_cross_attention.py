from math import exp, sqrt

import pytest
import torch
from torch import nn

from foveal import FovealError, OnTwoMaps, attention_info
from foveal.attention import CrossAttention


def test_is_the_sum_written_by_hand(stirred):
    module = stirred(CrossAttention(6, context_channels=5, num_heads=2, qkv_bias=True))
    x, context = torch.randn(2, 4, 6).double(), torch.randn(2, 3, 5).double()
    y = module(x, context)
    for b in range(2):
        q = x[b] @ module.query.weight.T + module.query.bias
        k, v = (context[b] @ module.key_value.weight.T + module.key_value.bias).chunk(2, dim=-1)
        heads = []
        for own in (slice(0, 3), slice(3, 6)):
            rows = []
            for i in range(4):
                e = [exp(float(q[i, own] @ k[j, own]) / sqrt(3)) for j in range(3)]
                rows.append(sum(e[j] / sum(e) * v[j, own] for j in range(3)))
            heads.append(torch.stack(rows))
        wanted = torch.cat(heads, dim=1) @ module.proj.weight.T + module.proj.bias
        torch.testing.assert_close(y[b], wanted)


def test_what_is_not_there_has_no_weight(stirred):
    module = stirred(CrossAttention(8, num_heads=2))
    x, context = torch.randn(3, 4, 8).double(), torch.randn(3, 5, 8).double()
    mask = torch.tensor([[True] * 5, [True, False, True, False, False], [False] * 5])
    y = module(x, context, mask)
    torch.testing.assert_close(y[0], module(x, context)[0])
    torch.testing.assert_close(y[1], module(x[1:2], context[1:2, [0, 2]])[0])
    torch.testing.assert_close(y[2], module.proj.bias.expand(4, 8))
    weights = module.attention_map(x, context, mask)
    assert weights[1, :, :, [1, 3, 4]].eq(0).all()


def test_an_absent_context_gives_finite_gradients():
    module = CrossAttention(8)
    context = torch.randn(1, 5, 8, requires_grad=True)
    module(torch.randn(1, 4, 8), context, torch.zeros(1, 5).bool()).sum().backward()
    assert context.grad.eq(0).all()


def test_agrees_with_torchs_own_layer():
    theirs = nn.MultiheadAttention(16, 4, bias=False, batch_first=True, kdim=6, vdim=6)
    ours = CrossAttention(16, 6, num_heads=4, proj_bias=False)
    ours.query.weight.data.copy_(theirs.q_proj_weight)
    both = torch.cat((theirs.k_proj_weight, theirs.v_proj_weight))
    ours.key_value.weight.data.copy_(both)
    ours.proj.weight.data.copy_(theirs.out_proj.weight)
    x, context = torch.randn(2, 9, 16), torch.randn(2, 5, 6)
    torch.testing.assert_close(ours(x, context), theirs(x, context, context)[0])


def test_stands_between_two_maps(stirred):
    module = OnTwoMaps(stirred(CrossAttention(8, 6)))
    x, context = torch.randn(2, 8, 4, 5).double(), torch.randn(2, 6, 2, 3).double()
    assert module(x, context).shape == x.shape
    assert module.attention_map(x, context).shape == (2, 2, 20, 6)


def test_the_card_says_what_it_takes():
    card = attention_info("cross_attention")
    assert card.inputs == {"x": "tokens", "context": "tokens"}
    assert not card.drop_in
    assert card.as_dict()["inputs"] == card.inputs


def test_wrong_inputs_are_refused():
    module = CrossAttention(8, 6)
    with pytest.raises(FovealError, match="cross_attention needs context"):
        module(torch.rand(1, 3, 8))
    with pytest.raises(FovealError, match="context was built for 6 channels, got 8"):
        module(torch.rand(1, 3, 8), torch.rand(1, 3, 8))
    with pytest.raises(FovealError, match="context_channels=0"):
        CrossAttention(8, 0)
