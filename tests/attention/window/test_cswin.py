from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import CSWin


@pytest.mark.parametrize("size", [(4, 6), (3, 5), (1, 3)])
def test_is_the_sum_written_by_hand(stirred, size):
    cswin = stirred(CSWin(4, num_heads=2, split_size=2, qkv_bias=True))
    x = torch.randn(4, *size).double()
    q, k, v = (
        torch.einsum("oc,chw->ohw", w[..., 0, 0], x) + b[:, None, None]
        for w, b in zip(cswin.qkv.weight.chunk(3), cswin.qkv.bias.chunk(3), strict=True)
    )
    places = [(r, c) for r in range(size[0]) for c in range(size[1])]
    mixed = torch.zeros_like(x)
    for channels, axis in (slice(0, 2), 1), (slice(2, 4), 0):  # upright stripes share columns
        for i in places:
            stripe = [j for j in places if j[axis] // 2 == i[axis] // 2]
            scores = [exp(float(q[(channels, *i)] @ k[(channels, *j)]) / sqrt(2)) for j in stripe]
            total = sum(s * v[(channels, *j)] for s, j in zip(scores, stripe, strict=True))
            mixed[(channels, *i)] = total / sum(scores) + cswin.local.bias[channels]
            for j in stripe:
                r, c = j[0] - i[0] + 1, j[1] - i[1] + 1
                if r in range(3) and c in range(3):
                    tap = cswin.local.weight[channels, 0, r, c]
                    mixed[(channels, *i)] += tap * v[(channels, *j)]
    wanted = torch.einsum("oc,chw->ohw", cswin.proj.weight[..., 0, 0], mixed)
    torch.testing.assert_close(cswin(x[None])[0], wanted + cswin.proj.bias[:, None, None])


def test_a_position_sees_a_cross(stirred):
    cswin = stirred(CSWin(4, num_heads=2, split_size=1))
    x = torch.randn(1, 4, 5, 6, requires_grad=True, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(cswin(x)[0, :, 2, 3].sum(), x)
    seen = gradient.abs().amax(1)[0] > 1e-12
    assert seen[2].all()
    assert seen[:, 3].all()
    assert seen.sum() == 5 + 6 - 1


def test_maps_of_both_halves(stirred):
    cswin = stirred(CSWin(8, num_heads=4, split_size=2))
    x = torch.randn(1, 8, 4, 6).double()
    assert cswin.attention_map(x).shape == (1, 3, 2, 8, 8)
    assert cswin.attention_map(x, level=True).shape == (1, 2, 2, 12, 12)


def test_heads_are_32_wide_as_in_the_paper():
    assert [CSWin(c).heads for c in (64, 128, 512)] == [[1, 1], [2, 2], [8, 8]]
    assert CSWin(1)(torch.rand(2, 1, 3, 4)).shape == (2, 1, 3, 4)


@pytest.mark.parametrize("options", [{"num_heads": 3}, {"num_heads": 6}, {"split_size": 0}])
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError, match=next(iter(options))):
        CSWin(16, **options)
