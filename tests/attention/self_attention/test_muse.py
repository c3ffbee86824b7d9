from math import exp, sqrt

import pytest
import torch
import torch.nn.functional as F

from foveal import FovealError, attention_info
from foveal.attention import MUSE
from foveal.measure import count_multiply_adds


def test_is_the_sum_written_by_hand(stirred, tiny):
    module = stirred(MUSE(6, 2, kernel_size=(1, 3)))
    y = module(tiny).flatten(2)
    first, second = (exp(float(a)) for a in module.shares)
    for b in range(2):
        x = tiny[b].flatten(1).T
        q, k, v = module.query(x), module.key(x), module.value(x)
        padded = F.pad(v.T.view(6, 3, 4), (1, 1, 1, 1))
        for n in range(12):
            heads = []
            for head in (slice(0, 3), slice(3, 6)):
                e = [exp(float(q[n, head] @ k[m, head]) / sqrt(3)) for m in range(12)]
                heads.append(sum(w / sum(e) * v[m, head] for m, w in enumerate(e)))
            taps = padded[:, n // 4 : n // 4 + 3, n % 4 : n % 4 + 3]
            near = (module.near[1].weight[:, 0] * taps).sum((1, 2)) + module.near[1].bias
            mixed = first * module.out[0](v[n]) + second * module.out[1](near)
            wanted = module.proj(torch.cat(heads)) + mixed / (first + second)
            torch.testing.assert_close(y[b, :, n], wanted)


def test_the_shares_stay_as_they_are(stirred, tiny):
    module = stirred(MUSE(6, 2))
    before = module.shares.clone()
    torch.testing.assert_close(module(tiny), module(tiny), rtol=0, atol=0)
    assert torch.equal(module.shares, before)


def test_attends_to_another_map_when_given_one(stirred, tiny):
    module = stirred(MUSE(6, 2))
    other = torch.randn_like(tiny)
    assert not torch.allclose(module(tiny, other), module(tiny))
    torch.testing.assert_close(module(tiny, other), module(tiny, other, other.clone()))
    torch.testing.assert_close(
        module.attention_map(tiny, other).sum(-1), torch.ones(2, 2, 12).double()
    )


@pytest.mark.parametrize("options", [
    {}, {"kernel_size": (3,)}, {"head_channels": 5, "num_heads": 2, "value_channels": 7},
])  # fmt: skip
def test_costs_are_stated_for_every_form(options):
    card, module = attention_info("muse"), MUSE(24, **options).eval()
    stated = card.cost(module, 24, 9, 10)
    assert stated["parameters"] == sum(p.numel() for p in module.parameters())
    counted = count_multiply_adds(module, torch.randn(1, 24, 9, 10))
    assert stated["multiply_adds"] == pytest.approx(counted, rel=0.02)


def test_refusals():
    for options, words in (
        ({"num_heads": 5}, "num_heads=5"),
        ({"head_channels": 0}, "head_channels=0"),
        ({"kernel_size": (1, 4)}, "kernel_size"),
        ({"kernel_size": ()}, "kernel_size"),
    ):
        with pytest.raises(FovealError, match=words):
            MUSE(8, **options)
