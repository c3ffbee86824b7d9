from math import exp, sqrt

import pytest
import torch

from foveal import FovealError, attention_info
from foveal.attention import NonLocal
from foveal.attention.self_attention.nonlocal_block import MODES, rectified_sum
from foveal.measure import count_multiply_adds


def by_hand(module, x):
    """One image (C, N), position by position; batch norm aside."""
    size = x.shape[1]
    v = [module.value.weight @ x[:, j] + module.value.bias for j in range(size)]
    q = k = [x[:, i] for i in range(size)]
    if module.mode != "gaussian":
        q = [module.query.weight @ t + module.query.bias for t in q]
        bias = 0 if module.key.bias is None else module.key.bias
        k = [module.key.weight @ t + bias for t in k]
    rows = []
    for i in range(size):
        if module.mode == "concatenation":
            pairs = [module.pair.weight[0] @ torch.cat((q[i], k[j])) for j in range(size)]
            f = [max(float(p), 0.0) / size for p in pairs]
        elif module.mode == "dot":
            f = [float(q[i] @ k[j]) / size for j in range(size)]
        else:
            scale = 1 if module.mode == "gaussian" else 1 / sqrt(module.hidden)
            f = [exp(float(q[i] @ k[j]) * scale) for j in range(size)]
            f = [e / sum(f) for e in f]
        z = module.proj.weight @ sum(w * v[j] for j, w in enumerate(f))
        rows.append(x[:, i] + z + module.proj.bias)
    return torch.stack(rows, 1)


@pytest.mark.parametrize("mode", MODES)
def test_is_the_sum_written_by_hand(stirred, tiny, mode):
    module = stirred(NonLocal(6, mode=mode, norm=False))
    y = module(tiny).flatten(2)
    for b in range(2):
        torch.testing.assert_close(y[b], by_hand(module, tiny[b].flatten(1)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("key_stride", [1, 2])
def test_the_map_is_what_forward_uses(stirred, tiny, mode, key_stride):
    module = stirred(NonLocal(6, mode=mode, key_stride=key_stride))
    weights = module.attention_map(tiny)
    v = module._project(tiny)[2]
    assert weights.shape == (2, 12, v.shape[1])
    z = module.proj(weights @ v).mT.view_as(tiny)
    torch.testing.assert_close(module(tiny), tiny + module.norm(z))
    if module.softmaxes:
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 12).double())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", [{}, {"norm": False}, {"key_stride": 3}, {"hidden": 9}])
def test_costs_are_stated_for_every_mode(mode, options):
    card = attention_info("nonlocal")
    module = NonLocal(8, mode=mode, **options).eval()
    stated = card.cost(module, 8, 7, 10)
    assert stated["parameters"] == sum(p.numel() for p in module.parameters())
    counted = count_multiply_adds(module, torch.randn(1, 8, 7, 10))
    assert stated["multiply_adds"] == pytest.approx(counted, rel=0.02)


def test_the_rectified_sum_and_its_gradients_are_those_of_all_pairs():
    torch.manual_seed(0)
    a, b, v = torch.randn(2, 9).double(), torch.randn(2, 7).double(), torch.randn(2, 7, 3).double()
    b[0, 2] = b[0, 3] = -a[0, 4]  # a tie, and a pair exactly at the corner
    leaves = [t.requires_grad_() for t in (a, b, v)]
    wanted = (a[:, :, None] + b[:, None]).relu() @ v
    found = rectified_sum(a, b, v)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(
        torch.autograd.grad(found[1].square().sum(), leaves),
        torch.autograd.grad(wanted[1].square().sum(), leaves),
    )


@pytest.mark.parametrize("mode", ["dot", "concatenation"])
def test_no_table_of_pairs_is_formed(mode):
    from foveal.testing.attending import Recorder

    module, x = NonLocal(8, mode=mode), torch.randn(1, 8, 24, 24)
    with Recorder() as recorder:
        module(x)
    assert max(t.numel() for t in recorder.tensors) < 24**4


def test_is_born_an_identity():
    x = torch.randn(2, 8, 5, 7)
    for norm in (True, False):
        torch.testing.assert_close(NonLocal(8, norm=norm)(x), x)


def test_refusals():
    with pytest.raises(FovealError, match="mode='cosine'"):
        NonLocal(8, mode="cosine")
    with pytest.raises(FovealError, match="key_stride=0"):
        NonLocal(8, key_stride=0)
