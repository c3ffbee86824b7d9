import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import MSCA


def convolved(conv, x):
    """A depthwise convolution of a map (6, 3, 4), as a sum of shifted maps."""
    height, width = conv.weight.shape[2:]
    padded = F.pad(x, (width // 2, width // 2, height // 2, height // 2))
    y = conv.bias[:, None, None].expand_as(x)
    for i in range(height):
        for j in range(width):
            y = y + conv.weight[:, 0, i, j, None, None] * padded[:, i : i + 3, j : j + 4]
    return y


def test_is_the_sum_written_by_hand(stirred, tiny):
    msca = stirred(MSCA(6))
    y = msca(tiny)
    for b in range(2):
        local = convolved(msca.local, tiny[b])
        scales = local
        for row, column in msca.strips:
            scales = scales + convolved(column, convolved(row, local))
        weights = torch.einsum("oc,chw->ohw", msca.mix.weight[..., 0, 0], scales)
        torch.testing.assert_close(y[b], tiny[b] * (weights + msca.mix.bias[:, None, None]))


def test_sizes_are_the_papers():
    msca = MSCA(64)
    assert msca.local.kernel_size == (5, 5)
    assert [row.kernel_size for row, _ in msca.strips] == [(1, 7), (1, 11), (1, 21)]
    assert [column.kernel_size for _, column in msca.strips] == [(7, 1), (11, 1), (21, 1)]


def test_projected_it_has_a_shortcut(stirred, tiny):
    msca = stirred(MSCA(6, project=True))
    msca.leave.weight.zero_()
    msca.leave.bias.zero_()
    assert torch.equal(msca(tiny), tiny)


@pytest.mark.parametrize("options", [{"kernel_size": (7, 10)}, {"local_size": 4}])
def test_even_sizes_are_refused(options):
    with pytest.raises(FovealError, match="must be odd"):
        MSCA(8, **options)
