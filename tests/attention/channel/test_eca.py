from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import ECA
from foveal.attention.channel.eca import adaptive_kernel_size


@pytest.mark.parametrize("circular", [False, True])
def test_is_the_sum_written_by_hand(stirred, tiny, circular):
    eca = stirred(ECA(6, kernel_size=3, circular=circular))
    y, w = eca(tiny), eca.conv.weight[0, 0]
    for b in range(2):
        means = [float(sum(tiny[b, c].flatten()) / 12) for c in range(6)]
        for c in range(6):
            neighbours = [
                means[i % 6] if circular or 0 <= i < 6 else 0.0 for i in (c - 1, c, c + 1)
            ]
            score = float(sum(w[i] * neighbours[i] for i in range(3)))
            torch.testing.assert_close(y[b, c], tiny[b, c] / (1 + exp(-score)))


@pytest.mark.parametrize(
    ("channels", "k"), [(8, 3), (16, 3), (64, 3), (128, 5), (256, 5), (512, 5), (1024, 5)]
)
def test_neighbours_follow_the_papers_rule(channels, k):
    """Eq. 12 with γ = 2 and b = 1, to an odd number."""
    assert adaptive_kernel_size(channels) == k
    assert ECA(channels).conv.weight.numel() == k


def test_an_even_number_of_neighbours_is_refused():
    with pytest.raises(FovealError, match="kernel_size=4 must be odd"):
        ECA(16, kernel_size=4)
    with pytest.raises(FovealError, match="more than once"):
        ECA(2, kernel_size=7, circular=True)
