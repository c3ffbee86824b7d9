from math import exp, sqrt

import pytest
import torch
from torch import nn

from foveal import FovealError
from foveal.attention import Swin


def by_hand(swin, x):
    """Every position sums over those in the same window of the shifted grid, found by division."""
    (h, w), (height, width) = swin.window, x.shape[1:]
    shift = [
        s if n > side else 0 for s, n, side in zip(swin.shift, (height, width), (h, w), strict=True)
    ]
    places = [(r, c) for r in range(height) for c in range(width)]

    def window_of(place):
        return [(p - s) // side for p, s, side in zip(place, shift, (h, w), strict=True)]

    q, k, v = (
        {p: part @ x[:, p[0], p[1]] + bias for p in places}
        for part, bias in zip(swin.qkv.weight.chunk(3), swin.qkv.bias.chunk(3), strict=True)
    )
    table = swin.bias.table.view(2 * h - 1, 2 * w - 1, -1)
    d = x.shape[0] // swin.num_heads
    y = torch.zeros_like(x)
    for i in places:
        mixed = []
        for head in range(swin.num_heads):
            part = slice(head * d, (head + 1) * d)
            weights = {
                j: exp(
                    float(q[i][part] @ k[j][part]) / sqrt(d)
                    + float(table[i[0] - j[0] + h - 1, i[1] - j[1] + w - 1, head])
                )
                for j in places
                if window_of(i) == window_of(j)
            }
            mixed.append(sum(e * v[j][part] for j, e in weights.items()) / sum(weights.values()))
        y[:, i[0], i[1]] = swin.proj.weight @ torch.cat(mixed) + swin.proj.bias
    return y


@pytest.mark.parametrize("shift", [0, 1, (0, 2)])
@pytest.mark.parametrize("size", [(6, 6), (5, 7), (2, 4)])
def test_is_the_sum_written_by_hand(stirred, shift, size):
    swin = stirred(Swin(4, num_heads=2, window_size=3, shift_size=shift))
    x = torch.randn(1, 4, *size).double()
    torch.testing.assert_close(swin(x)[0], by_hand(swin, x[0]))


def test_heads_are_32_wide_as_in_the_paper():
    assert [Swin(c).num_heads for c in (96, 192, 384, 768, 128)] == [3, 6, 12, 24, 4]
    assert Swin(20).num_heads == Swin(8).num_heads == 1


def test_parameters_are_the_papers():
    """Four projections with biases, and a table of (2M − 1)² for each head."""
    assert sum(p.numel() for p in Swin(96).parameters()) == 4 * 96**2 + 4 * 96 + 3 * 13**2


def test_the_map_is_what_forward_uses(stirred):
    swin = stirred(Swin(8, num_heads=2, window_size=4, shift_size=2))
    x = torch.randn(2, 8, 8, 8).double()
    weights = swin.attention_map(x)
    assert weights.shape == (2, 4, 2, 16, 16)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 2, 16).double())
    # the last window holds the map's four corners, which do not see each other
    assert (weights[:, 3, 0, 0] > 0).sum() == 2 * 4


def test_windows_do_not_see_each_other(stirred):
    swin = stirred(Swin(4, num_heads=1, window_size=3))
    x = torch.randn(1, 4, 6, 6).double()
    changed = x.clone()
    changed[..., :3, :3] += 1
    moved = (swin(changed) - swin(x)).abs().amax(1)[0] > 1e-12
    assert moved[:3, :3].all()
    assert moved.sum() == 9


def test_options(stirred):
    plain = Swin(8, qkv_bias=False, relative_bias=False)
    assert {n for n, _ in plain.named_parameters()} == {"qkv.weight", "proj.weight", "proj.bias"}
    swin = Swin(8, attention_dropout=0.5, dropout=0.5)
    x = torch.randn(1, 8, 7, 7)
    assert torch.equal(swin.eval()(x), swin(x))
    assert not torch.equal(swin.train()(x), swin(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 3}, "num_heads=3"),
        ({"window_size": 0}, "window_size=0"),
        ({"window_size": 4, "shift_size": 4}, "shift_size=4"),
        ({"shift_size": -1}, "shift_size=-1"),
        ({"shift_size": (1, 2, 3)}, "shift_size"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(FovealError, match=message):
        Swin(16, **options)


def test_agrees_with_torchs_own_attention_in_one_window():
    theirs = nn.MultiheadAttention(16, 4, batch_first=True)
    ours = Swin(16, 4, window_size=(3, 5), relative_bias=False)
    for our, their in (
        (ours.qkv.weight, theirs.in_proj_weight),
        (ours.qkv.bias, theirs.in_proj_bias),
        (ours.proj.weight, theirs.out_proj.weight),
        (ours.proj.bias, theirs.out_proj.bias),
    ):
        our.data.copy_(their)
    x = torch.randn(2, 16, 3, 5)
    tokens = x.flatten(2).mT
    torch.testing.assert_close(ours(x).flatten(2).mT, theirs(tokens, tokens, tokens)[0])
