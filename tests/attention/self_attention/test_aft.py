import time
from math import exp

import pytest
import torch

from foveal import FovealError, attention_info
from foveal.attention import AFT
from foveal.attention.self_attention.aft import MODES
from foveal.measure import count_multiply_adds


def bias_by_hand(module, height, width, c, t, s):
    """w of query t and key s for channel c, positions numbered row by row."""
    (i, j), (k, m) = divmod(t, width), divmod(s, width)
    near = max(abs(i - k), abs(j - m)) <= module.kernel_size // 2
    if module.mode in ("full", "local"):
        a, b = module.factors[0, :, i, j], module.factors[1, :, k, m]
        return float(a @ b) if module.mode == "full" or near else 0.0
    if module.mode == "conv" and near:
        head = c // (module.channels // module.num_heads)
        w = module.offsets[head, 0]
        w = (w - w.mean()) / w.std(unbiased=False)
        middle = module.kernel_size // 2
        w = w[k - i + middle, m - j + middle]
        return float(module.gain[head] * w + module.shift[head])
    return 0.0


@pytest.mark.parametrize("mode", MODES)
def test_is_the_sum_written_by_hand(stirred, tiny, mode):
    module = stirred(AFT(6, mode, hidden=5, table_size=(3, 4), kernel_size=3, num_heads=2))
    y = module(tiny).flatten(2)
    weights = module.attention_map(tiny)
    for b in range(2):
        x = tiny[b].flatten(1)
        q, k, v = (
            layer.weight[:, :, 0, 0] @ x + (0 if layer.bias is None else layer.bias[:, None])
            for layer in (module.query, module.key, module.value)
        )
        for c in range(6):
            for t in range(12):
                e = [exp(float(k[c, s]) + bias_by_hand(module, 3, 4, c, t, s)) for s in range(12)]
                average = sum(e[s] * v[c, s] for s in range(12)) / sum(e)
                torch.testing.assert_close(y[b, c, t], q[c, t].sigmoid() * average)
                row = weights[b, c, 0 if mode == "simple" else t]
                torch.testing.assert_close(row, torch.tensor(e, dtype=torch.float64) / sum(e))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", [6, 24])
def test_costs_are_stated_for_every_mode(mode, channels):
    card, module = attention_info("aft"), AFT(channels, mode).eval()
    stated = card.cost(module, channels, 7, 10)
    assert stated["parameters"] == sum(p.numel() for p in module.parameters())
    counted = count_multiply_adds(module, torch.randn(1, channels, 7, 10))
    assert stated["multiply_adds"] == pytest.approx(counted, rel=0.02)


def test_huge_keys_stay_finite_where_their_exponentials_do_not(stirred, tiny):
    module = stirred(AFT(6, "full"))
    assert torch.isfinite(module(tiny * 1e5)).all()


def test_local_and_conv_with_no_bias_are_simple(tiny):
    simple = AFT(6, "simple").double()
    for mode in ("full", "local", "conv"):
        other = AFT(6, mode).double()
        other.load_state_dict(simple.state_dict(), strict=False)
        if other.pairs:
            torch.nn.init.zeros_(other.factors)
        torch.testing.assert_close(other(tiny), simple(tiny))


def test_the_product_is_quicker_than_the_broadcast():
    module = AFT(32, table_size=24).eval()
    x = torch.randn(1, 32, 24, 24)

    def broadcast():
        k, v = module.key(x).flatten(2), module.value(x).flatten(2)
        e = (k[:, :, None] + module._position_biases(24, 24)).exp()
        averages = (e * v[:, :, None]).sum(-1) / e.sum(-1)
        return module.query(x).sigmoid() * averages.view_as(x)

    def seconds(run):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return min(times)

    with torch.no_grad():
        torch.testing.assert_close(module(x), broadcast())
        assert seconds(broadcast) > 5 * seconds(lambda: module(x))


def test_refusals():
    for options, words in (
        ({"mode": "half"}, "mode='half'"),
        ({"kernel_size": 4}, "kernel_size=4"),
        ({"hidden": 0}, "hidden=0"),
        ({"num_heads": 5}, "num_heads=5"),
    ):
        with pytest.raises(FovealError, match=words):
            AFT(8, **options)
