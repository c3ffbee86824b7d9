from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import HiLo, Swin


@pytest.mark.parametrize("size", [(4, 6), (5, 3)])
def test_is_the_sum_written_by_hand(stirred, size):
    hilo = stirred(HiLo(8, num_heads=4, alpha=0.25, qkv_bias=True))
    x = torch.randn(8, *size).double()
    places = [(r, c) for r in range(size[0]) for c in range(size[1])]
    windows = {}
    for r, c in places:
        windows.setdefault((r // 2, c // 2), []).append((r, c))

    def attend(q, keys, values):
        scores = [exp(float(q @ k) / sqrt(2)) for k in keys]
        return sum(s * v for s, v in zip(scores, values, strict=True)) / sum(scores)

    means = [sum(x[(slice(None), *p)] for p in w) / len(w) for w in windows.values()]
    low = [hilo.low_key_value(mean).split(2) for mean in means]
    wanted = torch.zeros_like(x)
    for i in places:
        here = x[(slice(None), *i)]
        near = [hilo.high_qkv(x[(slice(None), *j)]).split(6) for j in windows[i[0] // 2, i[1] // 2]]
        q, heads = hilo.high_qkv(here)[:6], []
        for head in range(3):
            part = slice(2 * head, 2 * head + 2)
            keys, values = [k[part] for _, k, _ in near], [v[part] for _, _, v in near]
            heads.append(attend(q[part], keys, values))
        wanted[(slice(0, 6), *i)] = hilo.high_proj(torch.cat(heads))
        mixed = attend(hilo.low_query(here), *zip(*low, strict=True))
        wanted[(slice(6, 8), *i)] = hilo.low_proj(mixed)
    torch.testing.assert_close(hilo(x[None])[0], wanted)


def test_share_of_the_heads_is_rounded_down():
    assert [HiLo(64, alpha=a).low_heads for a in (0, 0.3, 0.5, 1)] == [0, 2, 4, 8]


def test_without_means_it_is_window_attention(stirred):
    hilo = stirred(HiLo(8, num_heads=2, alpha=0, qkv_bias=True))
    swin = Swin(8, num_heads=2, window_size=2, relative_bias=False).double()
    swin.load_state_dict(
        {key.removeprefix("high_"): tensor for key, tensor in hilo.state_dict().items()}
    )
    x = torch.randn(1, 8, 5, 6).double()
    torch.testing.assert_close(hilo(x), swin(x))


def test_maps_of_both_frequencies(stirred):
    hilo = stirred(HiLo(8, num_heads=2))
    x = torch.randn(1, 8, 4, 6).double()
    assert hilo.attention_map(x).shape == (1, 1, 24, 6)
    assert hilo.attention_map(x, high=True).shape == (1, 6, 1, 4, 4)


@pytest.mark.parametrize("options", [{"num_heads": 3}, {"alpha": 1.5}, {"window_size": 0}])
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError, match=next(iter(options))):
        HiLo(16, **options)
