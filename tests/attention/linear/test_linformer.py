from math import exp

import pytest
import torch
from torch.nn import functional as F

import foveal
from foveal import FovealError
from foveal.attention import Linformer
from foveal.testing import check_attention


@pytest.mark.parametrize("options", [{}, {"one_kv_head": True}, {"share_kv": True}])
def test_is_the_sum_written_by_hand(stirred, tiny, options):
    module = stirred(Linformer(6, num_heads=2, num_tokens=5, grid=(3, 4), **options))
    y = module(tiny)
    for image, found in zip(tiny.flatten(2), y.flatten(2), strict=True):
        columns = image.T
        k = [module.key.weight @ column for column in columns]
        v = k if module.value is None else [module.value.weight @ column for column in columns]
        e = module.of_keys.flatten(1)
        f = e if module.of_values is None else module.of_values.flatten(1)
        keys = [sum(e[t, n] * k[n] for n in range(12)) for t in range(5)]
        values = [sum(f[t, n] * v[n] for n in range(12)) for t in range(5)]
        for n, column in enumerate(columns):
            q, heads = module.query.weight @ column, []
            for h in (slice(0, 3), slice(3, 6)):
                own = slice(0, 3) if module.kv_heads == 1 else h
                shares = [exp(float(q[h] @ key[own]) / 3**0.5) for key in keys]
                mixed = sum(s * value[own] for s, value in zip(shares, values, strict=True))
                heads.append(mixed / sum(shares))
            torch.testing.assert_close(found[:, n], module.proj(torch.cat(heads)))


def test_the_weights_are_drawn_out_to_other_sizes(stirred):
    module = stirred(Linformer(4, num_tokens=3, grid=(4, 6)))
    found = module._mixing(torch.zeros(1, 4, 8, 3).double())[0].view(3, 8, 3)
    wanted = F.interpolate(module.of_keys[None], (8, 3), mode="bilinear")[0]
    torch.testing.assert_close(found, wanted)  # as many positions as the grid has
    constant = torch.ones_like(module.of_keys)
    module.of_keys.copy_(constant)
    found = module._mixing(torch.zeros(1, 4, 5, 9).double())[0]
    torch.testing.assert_close(found.sum(1), torch.full((3,), 24.0).double())


def test_shorter_sequences_use_the_first_weights_of_an_original():
    weights = {
        "to_q.weight": torch.randn(4, 4),
        "to_k.weight": torch.randn(4, 4),
        "to_out.weight": torch.randn(4, 4),
        "to_out.bias": torch.randn(4),
        "proj_k": torch.randn(6, 3),
    }
    args = {"dim": 4, "seq_len": 6, "k": 3, "heads": 1, "share_kv": True}
    module = foveal.from_original("linformer", args, weights)
    x = torch.randn(2, 5, 4)
    keys = weights["proj_k"][:5].T @ (x @ weights["to_k.weight"].T)
    shares = (x @ weights["to_q.weight"].T @ keys.mT / 2).softmax(-1)
    wanted = shares @ keys @ weights["to_out.weight"].T + weights["to_out.bias"]
    torch.testing.assert_close(module(x), wanted)
    with pytest.raises(FovealError, match="7 tokens"):
        module(torch.randn(2, 7, 4))


def test_other_forms_keep_the_laws():
    check_attention("linformer", laws=("cost", "learning"), one_kv_head=True, share_kv=True)


def test_wrong_numbers_are_refused():
    with pytest.raises(FovealError, match="num_tokens=0"):
        Linformer(8, num_tokens=0)
    with pytest.raises(FovealError, match="grid=0"):
        Linformer(8, grid=0)
    with pytest.raises(FovealError, match="num_heads=3"):
        Linformer(8, num_heads=3)
