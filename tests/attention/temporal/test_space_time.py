from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import SpaceTime


def attended(attention, norm, tokens):
    """One head over a set of tokens, in loops."""
    mean = tokens.mean(-1, keepdim=True)
    deviation = (tokens - mean).square().mean(-1, keepdim=True)
    normal = (tokens - mean) / (deviation + 1e-5).sqrt() * norm.weight + norm.bias
    q, k, v = (normal @ attention.qkv.weight.T + attention.qkv.bias).chunk(3, dim=-1)
    rows = []
    for i in range(len(tokens)):
        e = [exp(float(q[i] @ k[j]) / sqrt(q.shape[-1])) for j in range(len(tokens))]
        rows.append(sum(e[j] / sum(e) * v[j] for j in range(len(tokens))))
    return torch.stack(rows) @ attention.proj.weight.T + attention.proj.bias


@pytest.mark.parametrize("order", [("time", "space"), ("space", "time")])
def test_divided_is_the_sum_written_by_hand(stirred, order):
    module = stirred(SpaceTime(4, num_heads=1, order=order))
    x = torch.randn(1, 3, 4, 2, 2).double()
    tokens = x[0].flatten(2).mT.clone()  # (time, position, channels)
    for axis in order:
        before = tokens.clone()
        attention, norm = module.attentions[axis], module.norms[axis]
        if axis == "time":
            for p in range(4):
                tokens[:, p] += attended(attention, norm, before[:, p])
        else:
            for t in range(3):
                tokens[t] += attended(attention, norm, before[t])
    torch.testing.assert_close(module(x)[0].flatten(2).mT, tokens)


def test_joint_is_the_sum_written_by_hand(stirred):
    module = stirred(SpaceTime(4, num_heads=1, mode="joint"))
    x = torch.randn(1, 3, 4, 2, 2).double()
    tokens = x[0].flatten(2).mT.flatten(0, 1)
    wanted = tokens + attended(module.attentions["joint"], module.norms["joint"], tokens)
    torch.testing.assert_close(module(x)[0].flatten(2).mT.flatten(0, 1), wanted)
    assert module.attention_map(x).shape == (1, 1, 12, 12)


def test_maps_of_the_last_part(stirred):
    x = torch.randn(2, 3, 8, 2, 5).double()
    assert stirred(SpaceTime(8)).attention_map(x).shape == (2, 3, 2, 10, 10)
    by_time = stirred(SpaceTime(8, order=("space", "time"))).attention_map(x)
    assert by_time.shape == (2, 10, 2, 3, 3)
    torch.testing.assert_close(by_time.sum(-1), torch.ones(2, 10, 2, 3).double())


def test_options_are_checked():
    with pytest.raises(FovealError, match="mode='split'"):
        SpaceTime(8, mode="split")
    for order in (("time", "time"), ("time",), "time"):
        with pytest.raises(FovealError, match="order="):
            SpaceTime(8, order=order)
