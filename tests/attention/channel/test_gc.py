from math import exp

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import GC


@pytest.mark.parametrize("pool", ["att", "avg"])
@pytest.mark.parametrize("fuse", [("add",), ("mul",), ("add", "mul")])
def test_is_the_sum_written_by_hand(stirred, tiny, pool, fuse):
    gc = stirred(GC(6, hidden=5, pool=pool, fuse=fuse))
    y, positions = gc(tiny), [(h, w) for h in range(3) for w in range(4)]
    for b in range(2):
        shares = dict.fromkeys(positions, 1.0)
        if pool == "att":
            w_k = gc.score.weight.flatten()
            shares = {p: exp(sum(w_k[c] * tiny[b, c][p] for c in range(6))) for p in positions}
        total = sum(shares.values())
        context = [sum(shares[p] / total * tiny[b, c][p] for p in positions) for c in range(6)]
        context = torch.stack(context)

        def transformed(layers, context=context):
            first, norm, _, last = layers
            hidden = first.weight @ context + first.bias
            hidden = (hidden - hidden.mean()) / (hidden.var(unbiased=False) + 1e-5).sqrt()
            return last.weight @ F.relu(hidden * norm.weight + norm.bias) + last.bias

        wanted = tiny[b]
        if "mul" in fuse:
            wanted = wanted * transformed(gc.mul).sigmoid()[:, None, None]
        if "add" in fuse:
            wanted = wanted + transformed(gc.add)[:, None, None]
        torch.testing.assert_close(y[b], wanted)


def test_is_born_an_identity():
    x = torch.randn(2, 64, 5, 5)
    assert torch.equal(GC(64)(x), x)


@pytest.mark.parametrize("pool", ["att", "avg"])
def test_the_map_sums_to_one(stirred, tiny, pool):
    weights = stirred(GC(6, pool=pool)).attention_map(tiny)
    assert weights.shape == (2, 1, 3, 4)
    torch.testing.assert_close(weights.sum((2, 3)), torch.ones(2, 1).double())


def test_a_layer_norm_of_few_values_is_avoided():
    assert GC(16).hidden == 4  # normalising one value would leave nothing of the image


def test_unknown_options_are_refused():
    for options in ({"pool": "max"}, {"fuse": ()}, {"fuse": "add"}, {"fuse": ("div",)}):
        with pytest.raises(FovealError, match="must be"):
            GC(16, **options)
