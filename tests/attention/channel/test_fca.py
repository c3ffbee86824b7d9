from math import cos, exp, pi, sqrt

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import FCA
from foveal.attention.channel.fca import FREQUENCIES


def cosine(u, place, size):
    return cos(pi * u * (place + 0.5) / size) / sqrt(size) * (sqrt(2) if u else 1)


@pytest.mark.parametrize(("size", "scale"), [((7, 8), (1, 1)), ((14, 7), (2, 1))])
def test_is_the_sum_written_by_hand(stirred, size, scale):
    fca = stirred(FCA(6, size, num_frequencies=3, hidden=2))
    x = torch.randn(2, 6, *size).double()
    y = fca(x)
    for b in range(2):
        found = []
        for c in range(6):
            u, v = ((0, 0), (0, 1), (6, 0))[c // 2]  # the three best of the paper
            u, v = u * scale[0], v * scale[1]
            found.append(
                sum(
                    float(x[b, c, i, j]) * cosine(u, i, size[0]) * cosine(v, j, size[1])
                    for i in range(size[0])
                    for j in range(size[1])
                )
            )
        hidden = [
            max(0.0, float(sum(fca.squeeze.weight[k, c] * found[c] for c in range(6))))
            for k in range(2)
        ]
        for c in range(6):
            score = float(sum(fca.excite.weight[c, k] * hidden[k] for k in range(2)))
            torch.testing.assert_close(y[b, c], x[b, c] / (1 + exp(-score)))


@pytest.mark.parametrize("size", [(7, 7), (9, 16), (3, 20), (1, 1)])
def test_other_sizes_are_averaged_first(stirred, size):
    fca = stirred(FCA(32))
    x = torch.randn(2, 32, *size).double()
    weights = fca.attention_map(F.adaptive_avg_pool2d(x, 7))
    torch.testing.assert_close(fca(x), x * weights)


def test_frequencies_of_a_kind_are_all_different():
    for kind, words in FREQUENCIES.items():
        pairs = words.split()
        assert len(pairs) == len(set(pairs)) == 32, kind
        assert all(len(p) == 2 and max(p) <= "6" for p in pairs)


@pytest.mark.parametrize(("channels", "groups"), [(64, 16), (8, 8), (20, 10), (17, 1)])
def test_frequencies_divide_the_channels(channels, groups):
    assert FCA(channels).num_frequencies == groups


def test_what_does_not_fit_is_refused():
    for options in (
        {"size": 6},
        {"num_frequencies": 3},
        {"num_frequencies": 64},
        {"select": "all"},
    ):
        with pytest.raises(FovealError):
            FCA(64, **options)
