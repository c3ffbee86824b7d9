from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import CrossFormer, Swin


def group_of(place, size, interval):
    """Squares of G·I, and in each square the positions with one remainder by I."""
    return [(p // (size * interval), p % interval) for p in place]


@pytest.mark.parametrize("interval", [None, 1, 2])
@pytest.mark.parametrize("size", [(4, 8), (5, 7), (3, 2)])
def test_is_the_sum_written_by_hand(stirred, interval, size):
    attention = stirred(CrossFormer(4, num_heads=2, window_size=2, interval=interval, hidden=5))
    x, step = torch.randn(4, *size).double(), interval or 1
    places = [(r, c) for r in range(size[0]) for c in range(size[1])]
    q, k, v = (
        {p: w @ x[:, p[0], p[1]] + b for p in places}
        for w, b in zip(attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3), strict=True)
    )

    def bias(i, j):
        steps = torch.tensor([(a - b) // step for a, b in zip(i, j, strict=True)]).double()
        hidden = attention.bias.first(steps)
        for layer in attention.bias.layers:
            hidden = layer(hidden)
        return hidden

    wanted = torch.zeros_like(x)
    for i in places:
        heads = []
        for head in range(2):
            part = slice(2 * head, 2 * head + 2)
            scores = {
                j: exp(float(q[i][part] @ k[j][part]) / sqrt(2) + float(bias(i, j)[head]))
                for j in places
                if group_of(i, 2, step) == group_of(j, 2, step)
            }
            heads.append(sum(e * v[j][part] for j, e in scores.items()) / sum(scores.values()))
        wanted[:, i[0], i[1]] = attention.proj.weight @ torch.cat(heads) + attention.proj.bias
    torch.testing.assert_close(attention(x[None])[0], wanted)


def test_width_of_the_bias_is_the_codes_where_that_is_wide_enough():
    assert [CrossFormer(c).hidden for c in (64, 128, 512, 8)] == [8, 8, 32, 8]


def test_at_short_distance_without_a_bias_it_is_window_attention(stirred):
    attention = stirred(CrossFormer(8, window_size=4, relative_bias=False))
    swin = Swin(8, window_size=4, relative_bias=False).double()
    swin.load_state_dict(attention.state_dict())
    x = torch.randn(1, 8, 6, 9).double()
    torch.testing.assert_close(attention(x), swin(x))


def test_weights_are_not_tied_to_a_group_size(stirred):
    small, large = stirred(CrossFormer(8, window_size=3)), CrossFormer(8, window_size=5).double()
    large.load_state_dict(small.state_dict())
    inner = large.bias().unflatten(2, (5, 5)).unflatten(1, (5, 5))[:, :3, :3, :3, :3]
    torch.testing.assert_close(inner.flatten(3).flatten(1, 2), small.bias())


@pytest.mark.parametrize(
    "options", [{"num_heads": 3}, {"interval": 0}, {"hidden": 0}, {"window_size": 0}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError, match=next(iter(options))):
        CrossFormer(16, **options)
