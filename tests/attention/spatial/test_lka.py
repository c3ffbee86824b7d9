import pytest
import torch

from foveal import FovealError
from foveal.attention import LKA


def convolved(conv, x):
    """A depthwise convolution of a map (6, 3, 4), tap by tap."""
    dilation, taps = conv.dilation[0], conv.weight.shape[-1]
    y = conv.bias[:, None, None].expand(6, 3, 4).clone()
    for h in range(3):
        for w in range(4):
            for i in range(taps):
                for j in range(taps):
                    r, c = h + dilation * (i - taps // 2), w + dilation * (j - taps // 2)
                    if 0 <= r < 3 and 0 <= c < 4:
                        y[:, h, w] += conv.weight[:, 0, i, j] * x[:, r, c]
    return y


def pointwise(conv, x):
    return torch.einsum("oc,chw->ohw", conv.weight[..., 0, 0], x) + conv.bias[:, None, None]


@pytest.mark.parametrize("project", [False, True])
def test_is_the_sum_written_by_hand(stirred, tiny, project):
    lka = stirred(LKA(6, kernel_size=5, dilation=2, project=project))
    y = lka(tiny)
    for b in range(2):
        u = tiny[b]
        if project:
            u = pointwise(lka.enter, u)
            u = u * 0.5 * (1 + torch.erf(u / 2**0.5))
        wanted = u * pointwise(lka.mix, convolved(lka.far, convolved(lka.near, u)))
        if project:
            wanted = tiny[b] + pointwise(lka.leave, wanted)
        torch.testing.assert_close(y[b], wanted)


@pytest.mark.parametrize(
    ("kernel_size", "dilation", "near", "far"), [(21, 3, 5, 7), (13, 3, 5, 5), (28, 4, 7, 7)]
)
def test_decomposition(kernel_size, dilation, near, far):
    """A (2d - 1)² kernel, and ⌈K/d⌉² taps that lie d apart."""
    lka = LKA(8, kernel_size, dilation)
    assert lka.near.kernel_size == (near, near)
    assert lka.far.kernel_size == (far, far)
    assert lka.far.dilation == (dilation, dilation)


def test_the_default_is_vans():
    lka = LKA(64)
    assert (lka.near_size, lka.far_size, lka.project) == (5, 7, False)


@pytest.mark.parametrize("options", [{"kernel_size": 7, "dilation": 2}, {"dilation": 0}])
def test_sizes_without_a_middle_are_refused(options):
    with pytest.raises(FovealError, match="odd"):
        LKA(8, **options)
