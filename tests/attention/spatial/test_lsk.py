import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import LSK


def shifted_sum(weight, x, dilation=1):
    """The taps (c, k, k), each times the map (c, 3, 4) moved to where the tap lies."""
    k = weight.shape[-1]
    padded = F.pad(x, (dilation * (k // 2),) * 4)
    return sum(
        weight[:, i, j, None, None] * padded[:, dilation * i :, dilation * j :][:, :3, :4]
        for i in range(k)
        for j in range(k)
    )


def pointwise(conv, x):
    return torch.einsum("oc,chw->ohw", conv.weight[..., 0, 0], x) + conv.bias[:, None, None]


def test_is_the_sum_written_by_hand(stirred, tiny):
    lsk = stirred(LSK(6))
    y = lsk(tiny)
    for b in range(2):
        u, narrow = tiny[b], []
        for kernel, squeeze, dilation in zip(lsk.kernels, lsk.squeeze, (1, 3), strict=True):
            u = shifted_sum(kernel.weight[:, 0], u, dilation) + kernel.bias[:, None, None]
            narrow.append(pointwise(squeeze, u))
        both = torch.cat(narrow)
        seen = torch.stack((both.mean(0), both.amax(0)))
        mixed = torch.zeros(3, 3, 4).double()
        for i in range(2):
            score = shifted_sum(lsk.select.weight[i], seen).sum(0) + lsk.select.bias[i]
            mixed += score.sigmoid() * narrow[i]
        torch.testing.assert_close(y[b], tiny[b] * pointwise(lsk.mix, mixed))


def test_sizes_are_the_authors():
    lsk = LSK(64)
    assert [kernel.kernel_size for kernel in lsk.kernels] == [(5, 5), (7, 7)]
    assert [kernel.dilation for kernel in lsk.kernels] == [(1, 1), (3, 3)]
    assert (lsk.hidden, lsk.select_size) == (32, 7)


def test_any_number_of_kernels(tiny):
    lsk = LSK(6, kernel_size=(3, 5, 7), dilation=(1, 2, 3)).double()
    assert lsk(tiny).shape == tiny.shape


@pytest.mark.parametrize(
    "options", [{"kernel_size": (5,)}, {"kernel_size": (4, 7)}, {"select_size": 6}, {"hidden": 0}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        LSK(8, **options)
