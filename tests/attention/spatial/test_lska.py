import pytest
import torch

from foveal import FovealError
from foveal.attention import LKA, LSKA


def convolved(conv, x):
    """A depthwise convolution of a map (6, 3, 4) along one axis, tap by tap."""
    axis = 1 if conv.weight.shape[2] == 1 else 0
    taps, dilation = conv.weight.flatten(1).T, conv.dilation[0]
    y = conv.bias[:, None, None].expand(6, 3, 4).clone()
    for h in range(3):
        for w in range(4):
            for i, weight in enumerate(taps):
                step = dilation * (i - len(taps) // 2)
                r, c = (h, w + step) if axis else (h + step, w)
                if 0 <= r < 3 and 0 <= c < 4:
                    y[:, h, w] += weight * x[:, r, c]
    return y


def test_is_the_sum_written_by_hand(stirred, tiny):
    lska = stirred(LSKA(6, kernel_size=7))
    y = lska(tiny)
    for b in range(2):
        u = tiny[b]
        for conv in lska.near_row, lska.near_column, lska.far_row, lska.far_column:
            u = convolved(conv, u)
        weights = torch.einsum("oc,chw->ohw", lska.mix.weight[..., 0, 0], u)
        wanted = tiny[b] * (weights + lska.mix.bias[:, None, None])
        torch.testing.assert_close(y[b], wanted)


@pytest.mark.parametrize(
    ("kernel_size", "near", "far", "dilation"),
    [(7, 3, 3, 2), (11, 3, 5, 2), (23, 5, 7, 3), (35, 5, 11, 3), (41, 5, 13, 3), (53, 5, 17, 3)],
)
def test_sizes_are_the_authors(kernel_size, near, far, dilation):
    lska = LSKA(8, kernel_size)
    assert (lska.near_size, lska.far_size) == (near, far)
    assert lska.far_row.dilation == (dilation, dilation)


def test_a_weight_sees_as_many_positions_as_it_says(stirred):
    lska = stirred(LSKA(1, kernel_size=11))
    x = torch.zeros(1, 1, 1, 41).double()
    weights = lska.attention_map(x)
    x[..., 20] = 1
    touched = (lska.attention_map(x) - weights)[0, 0, 0].nonzero().flatten()
    assert (touched[0], touched[-1]) == (15, 25)


def test_kernels_of_rank_one_give_what_the_large_kernels_give(stirred, tiny):
    lska, lka = stirred(LSKA(6)), stirred(LKA(6))
    for part in "near", "far":
        row, column = getattr(lska, f"{part}_row"), getattr(lska, f"{part}_column")
        row.bias.zero_(), column.bias.zero_()
        getattr(lka, part).weight.copy_(column.weight * row.weight)
        getattr(lka, part).bias.zero_()
    lka.mix.load_state_dict(lska.mix.state_dict())
    torch.testing.assert_close(lska(tiny), lka(tiny))


@pytest.mark.parametrize("options", [{"kernel_size": 9}, {"kernel_size": 1}, {"dilation": 0}])
def test_sizes_out_of_reach_are_refused(options):
    with pytest.raises(FovealError):
        LSKA(8, **options)
