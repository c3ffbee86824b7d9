from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import Neighborhood


def nearest(place, size, k, dilation):
    """The k nearest on one axis, of those that differ by multiples of the dilation."""
    same = [p for p in range(size) if p % dilation == place % dilation]
    middle = same.index(place)
    first = max(0, min(middle - k // 2, len(same) - k))
    return same[first : first + k]


@pytest.mark.parametrize(
    ("size", "k", "dilation"), [((5, 7), 3, 1), ((7, 6), 3, 2), ((2, 4), 5, 1), ((5, 4), 3, 3)]
)
def test_is_the_sum_written_by_hand(stirred, size, k, dilation):
    attention = stirred(Neighborhood(4, num_heads=2, kernel_size=k, dilation=dilation))
    x = torch.randn(4, *size).double()
    q, k_, v = (
        torch.einsum("oc,chw->ohw", w[..., 0, 0], x) + b[:, None, None]
        for w, b in zip(attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3), strict=True)
    )
    mixed = torch.zeros_like(x)
    for i in range(size[0]):
        for j in range(size[1]):
            for head in range(2):
                part, scores, values = slice(2 * head, 2 * head + 2), [], []
                for a in nearest(i, size[0], k, dilation):
                    for b in nearest(j, size[1], k, dilation):
                        steps = (a - i) // dilation + k - 1, (b - j) // dilation + k - 1
                        score = float(q[part, i, j] @ k_[part, a, b]) / sqrt(2)
                        scores.append(exp(score + float(attention.bias[(head, *steps)])))
                        values.append(v[part, a, b])
                mean = sum(s * u for s, u in zip(scores, values, strict=True)) / sum(scores)
                mixed[part, i, j] = mean
    wanted = torch.einsum("oc,chw->ohw", attention.proj.weight[..., 0, 0], mixed)
    wanted += attention.proj.bias[:, None, None]
    torch.testing.assert_close(attention(x[None])[0], wanted)


@pytest.mark.parametrize("dilation", [1, 2])
def test_every_position_has_as_many_neighbours_the_corner_too(stirred, dilation):
    attention = stirred(Neighborhood(4, num_heads=1, kernel_size=3, dilation=dilation))
    x = torch.randn(1, 4, 8, 9, requires_grad=True, dtype=torch.float64)
    for place in (0, 0), (7, 8), (3, 4), (0, 5):
        (gradient,) = torch.autograd.grad(attention(x)[0, 0][place], x)
        seen = (gradient.abs().amax(1)[0] > 1e-12).nonzero().tolist()
        rows, columns = (nearest(p, s, 3, dilation) for p, s in zip(place, (8, 9), strict=True))
        assert seen == [[r, c] for r in rows for c in columns]


def test_a_map_that_is_no_larger_than_the_neighbourhood_is_attended_whole(stirred):
    attention = stirred(Neighborhood(4, num_heads=1, kernel_size=7, relative_bias=False))
    x = torch.randn(1, 4, 3, 5).double()
    weights = attention.attention_map(x)
    assert ((weights[0, 0, 0].unflatten(0, (7, 7))[:3, :5] > 0).sum(-1) == 15).all()


def test_no_score_is_formed_of_positions_far_apart():
    weights = Neighborhood(8, kernel_size=3).attention_map(torch.randn(1, 8, 30, 30))
    assert weights.shape == (1, 100, 1, 9, 25)


@pytest.mark.parametrize("options", [{"num_heads": 3}, {"kernel_size": 4}, {"dilation": 0}])
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError, match=next(iter(options))):
        Neighborhood(16, **options)
