from math import floor

import pytest
import torch

from foveal import FovealError
from foveal.attention import DLKA, LKA


def between(x, r, c):
    """The values of a map (c, 3, 4) between its positions, zero beyond."""
    total = torch.zeros(x.shape[0]).double()
    for h in (floor(r), floor(r) + 1):
        for w in (floor(c), floor(c) + 1):
            if 0 <= h < 3 and 0 <= w < 4:
                total += (1 - abs(r - h)) * (1 - abs(c - w)) * x[:, h, w]
    return total


def deformed(part, x):
    size, middle = part.size, part.size // 2
    shifts = part.offset(x[None])[0]
    y = torch.zeros_like(x)
    for h in range(3):
        for w in range(4):
            for i in range(size):
                for j in range(size):
                    down, right = shifts[2 * (i * size + j) :, h, w][:2].tolist()
                    r = h + part.dilation * (i - middle) + down
                    c = w + part.dilation * (j - middle) + right
                    y[:, h, w] += part.weight[:, i, j] * between(x, r, c)
    return y


def test_is_the_sum_written_by_hand(stirred, tiny):
    dlka = stirred(DLKA(6, kernel_size=5, dilation=2))
    u = deformed(dlka.far, deformed(dlka.near, tiny[1]))
    weights = torch.einsum("oc,chw->ohw", dlka.mix.weight[..., 0, 0], u)
    wanted = tiny[1] * (weights + dlka.mix.bias[:, None, None])
    torch.testing.assert_close(dlka(tiny)[1], wanted)


@pytest.mark.parametrize("project", [False, True])
def test_without_shifts_it_is_lka(stirred, tiny, project):
    dlka, lka = stirred(DLKA(6, project=project)), stirred(LKA(6, project=project))
    for part in "near", "far":
        ours, theirs = getattr(dlka, part), getattr(lka, part)
        ours.offset.weight.zero_(), ours.offset.bias.zero_(), theirs.bias.zero_()
        ours.weight.copy_(theirs.weight[:, 0])
    for name in ("mix", "enter", "leave") if project else ("mix",):
        getattr(dlka, name).load_state_dict(getattr(lka, name).state_dict())
    torch.testing.assert_close(dlka(tiny), lka(tiny))


def test_an_even_number_of_taps_is_refused():
    with pytest.raises(FovealError, match="odd"):
        DLKA(8, kernel_size=7, dilation=2)
