from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import ACmix
from foveal.attention.branch.acmix import reflect_pad


def mirrored(i, size):
    while not 0 <= i < size:
        i = -i if i < 0 else 2 * (size - 1) - i
    return i


def test_is_the_sum_written_by_hand(stirred, tiny):
    acmix = stirred(ACmix(6, kernel_size=3, num_heads=2))
    y = acmix(tiny)
    positions = [(h, w) for h in range(3) for w in range(4)]
    where = {(h, w): torch.tensor([2 * w / 3 - 1, h - 1.0]).double() for h, w in positions}
    for b in range(2):
        qkv, mixed = {}, {}
        for p in positions:
            out = acmix.qkv.weight[:, :, 0, 0] @ tiny[b, :, p[0], p[1]] + acmix.qkv.bias
            qkv[p] = out.view(3, 3, 2)  # place within the head, role, head
            mixed[p] = torch.stack(
                [acmix.mix.weight @ qkv[p][d].flatten() for d in range(3)]
            )  # (3 places, 9)
        for h, w in positions:
            for head in range(2):
                scores, values = [], []
                for t in range(9):
                    p = mirrored(h + t // 3 - 1, 3), mirrored(w + t % 3 - 1, 4)
                    apart = acmix.position.weight @ (where[h, w] - where[p])
                    k = qkv[p][:, 1, head] + apart
                    scores.append(exp(float(qkv[h, w][:, 0, head] @ k) / sqrt(3)))
                    values.append(qkv[p][:, 2, head])
                taken = sum(s / sum(scores) * v for s, v in zip(scores, values, strict=True))
                for d in range(3):
                    # The two paths order their channels differently.
                    attention, convolution, other = taken[d], 0.0, head * 3 + d
                    place = other // 2
                    for t in range(9):
                        for r in range(3):
                            for s in range(3):
                                p = h + r - 1, w + s - 1
                                if p in where:
                                    weight = acmix.shift[other, t, r, s]
                                    convolution += weight * mixed[p][place, t]
                    wanted = acmix.rates[0] * attention + acmix.rates[1] * convolution
                    torch.testing.assert_close(y[b, other, h, w], wanted)


def test_is_born_a_half_of_each_with_a_convolution_of_shifts():
    acmix = ACmix(8)
    assert acmix.rates.tolist() == [0.5, 0.5]
    assert acmix.kernel_size == 7
    for t in range(9):
        assert acmix.shift[0, t].flatten().tolist() == [float(i == t) for i in range(9)]


@pytest.mark.parametrize("size", [(5, 6), (4, 4), (3, 7), (2, 5), (1, 1)])
def test_edges_are_mirrored_however_small_the_map(size):
    x = torch.randn(1, 2, *size)
    padded = reflect_pad(x, 3)
    assert padded.shape == (1, 2, size[0] + 6, size[1] + 6)
    for i in range(-3, size[0] + 3):
        for j in range(-3, size[1] + 3):
            at = [mirrored(k, n) if n > 1 else 0 for k, n in zip((i, j), size, strict=True)]
            assert padded[0, :, i + 3, j + 3].equal(x[0, :, at[0], at[1]])


def test_weights_of_the_neighbours_sum_to_one(stirred, tiny):
    weights = stirred(ACmix(6, num_heads=3)).attention_map(tiny)
    assert weights.shape == (2, 3, 3, 4, 49)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 3, 4).double())


@pytest.mark.parametrize(("channels", "heads"), [(64, 4), (8, 2), (20, 4), (7, 1), (1, 1)])
def test_heads_fit_the_channels(channels, heads):
    assert ACmix(channels).num_heads == heads


@pytest.mark.parametrize(
    "options", [{"kernel_size": 4}, {"conv_kernel_size": 2}, {"num_heads": 3}, {"num_heads": 0}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        ACmix(16, **options)
