from math import exp, sqrt

import pytest
import torch

from foveal import FovealError, attention_info
from foveal.attention import SparseAttention
from foveal.measure import count_multiply_adds


def kept_by_hand(module, head, n, scores, width):
    run = module.stride or width
    if module.pattern == "topk":
        return sorted(range(12), key=lambda m: -scores[m])[: module.top_k]
    if head < module.near:
        return [m for m in range(12) if m // run == n // run]
    return [m for m in range(12) if m % run == n % run]


@pytest.mark.parametrize("options", [
    {}, {"stride": 3}, {"stride": 5}, {"stride": 40}, {"pattern": "block", "stride": 7},
    {"pattern": "block"}, {"pattern": "topk", "top_k": 4}, {"pattern": "topk", "top_k": 99},
])  # fmt: skip
def test_is_the_sum_written_by_hand(stirred, tiny, options):
    module = stirred(SparseAttention(6, 2, **options))
    y, weights = module(tiny).flatten(2), module.attention_map(tiny)
    for b in range(2):
        projected = (module.qkv.weight @ tiny[b].flatten(1)).view(3, 2, 3, 12)
        out = torch.zeros(2, 3, 12).double()
        for head in range(2):
            q, k, v = projected[:, head]
            for n in range(12):
                scores = [float(q[:, n] @ k[:, m]) / sqrt(3) for m in range(12)]
                kept = kept_by_hand(module, head, n, scores, width=4)
                e = {m: exp(scores[m]) for m in kept}
                row = [e.get(m, 0.0) / sum(e.values()) for m in range(12)]
                torch.testing.assert_close(
                    weights[b, head, n], torch.tensor(row, dtype=torch.float64)
                )
                out[head, :, n] = sum(w * v[:, m] for m, w in enumerate(row))
        wanted = module.proj(out.flatten(0, 1).T).T
        torch.testing.assert_close(y[b], wanted)


def test_only_kept_pairs_are_computed():
    from foveal.testing.attending import ExplicitAttention, Recorder

    module, x = SparseAttention(8, 2).eval(), torch.randn(1, 8, 20, 20)
    with torch.no_grad(), ExplicitAttention(), Recorder() as recorder:
        module(x)
    assert max(t.numel() for t in recorder.tensors) <= max(3 * 8 * 400, 400 * 20)


def test_two_steps_join_any_two_positions(stirred, tiny):
    joined = stirred(SparseAttention(6, 2)).attention_map(tiny).sum(1) > 0
    assert ((joined.double() @ joined.double()) > 0).all()


@pytest.mark.parametrize("options", [
    {}, {"stride": 7}, {"pattern": "block", "stride": 5}, {"pattern": "topk"},
])  # fmt: skip
def test_costs_are_stated_for_every_pattern(options):
    card, module = attention_info("sparse_attn"), SparseAttention(24, **options).eval()
    stated = card.cost(module, 24, 9, 10)
    assert stated["parameters"] == sum(p.numel() for p in module.parameters())
    counted = count_multiply_adds(module, torch.randn(1, 24, 9, 10))
    assert stated["multiply_adds"] == pytest.approx(counted, rel=0.02)


def test_refusals():
    for options in ({"num_heads": 5}, {"pattern": "random"}, {"stride": 0}, {"top_k": 0}):
        name, value = next(iter(options.items()))
        with pytest.raises(FovealError, match=f"{name}={value!r}"):
            SparseAttention(8, **options)
