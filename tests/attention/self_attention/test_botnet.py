from math import exp, sqrt

import pytest
import torch

from foveal import FovealError, attention_info
from foveal.attention import BoTNet
from foveal.measure import count_multiply_adds


@pytest.mark.parametrize("scale_positions", [False, True])
def test_is_the_sum_written_by_hand(stirred, tiny, scale_positions):
    module = stirred(BoTNet(6, 2, table_size=(3, 4), scale_positions=scale_positions))
    y = module(tiny).flatten(2)
    for b in range(2):
        projected = module.qkv.weight @ tiny[b].flatten(1)  # (18, 12): queries, keys, values
        for head in range(2):
            q, k, v = (
                projected[part * 6 + head * 3 : part * 6 + head * 3 + 3] for part in range(3)
            )
            for n in range(12):
                e = []
                for m in range(12):
                    offset = module.rows[m // 4 - n // 4 + 2] + module.columns[m % 4 - n % 4 + 3]
                    position = float(q[:, n] @ offset) / (sqrt(3) if scale_positions else 1)
                    e.append(exp(float(q[:, n] @ k[:, m]) / sqrt(3) + position))
                wanted = sum(w / sum(e) * v[:, m] for m, w in enumerate(e))
                torch.testing.assert_close(y[b, head * 3 : head * 3 + 3, n], wanted)


def test_no_table_of_pairs_is_handed_to_attention():
    from foveal.testing.attending import Recorder

    module, x = BoTNet(8, 2).eval(), torch.randn(1, 8, 20, 20)
    with torch.no_grad(), Recorder() as recorder:
        module(x)
    assert max(t.numel() for t in recorder.tensors) < 20**4


@pytest.mark.parametrize("options", [{}, {"head_channels": 3}, {"qkv_bias": True}])
def test_costs_are_stated_for_every_form(options):
    card, module = attention_info("botnet"), BoTNet(24, **options).eval()
    stated = card.cost(module, 24, 9, 10)
    assert stated["parameters"] == sum(p.numel() for p in module.parameters())
    counted = count_multiply_adds(module, torch.randn(1, 24, 9, 10))
    assert stated["multiply_adds"] == pytest.approx(counted, rel=0.02)


def test_refusals():
    with pytest.raises(FovealError, match="num_heads=5"):
        BoTNet(8, 5)
    with pytest.raises(FovealError, match="head_channels=0"):
        BoTNet(8, head_channels=0)
    with pytest.raises(FovealError, match="table_size=0"):
        BoTNet(8, table_size=0)
