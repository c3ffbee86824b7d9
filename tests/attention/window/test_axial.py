from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import Axial


def attend(mhsa, line):
    """Multi-head attention of N positions, (N, C), each to each."""
    n, c = line.shape
    q, k, v = (line @ mhsa.qkv.weight.T).view(n, 3, 2, c // 2).unbind(1)
    merged = torch.zeros(n, c).double()
    for h in range(2):
        for i in range(n):
            scores = [exp(float(q[i, h] @ k[j, h]) / sqrt(c // 2)) for j in range(n)]
            for j in range(n):
                merged[i, h * c // 2 : (h + 1) * c // 2] += scores[j] / sum(scores) * v[j, h]
    return merged @ mhsa.proj.weight.T + mhsa.proj.bias


def attend_columns(axial, image):
    return torch.stack([attend(axial.column, image[:, :, j].T).T for j in range(4)], dim=2)


def attend_rows(axial, image):
    return torch.stack([attend(axial.row, image[:, i].T).T for i in range(3)], dim=1)


@pytest.mark.parametrize("together", [True, False])
def test_is_the_sum_written_by_hand(stirred, tiny, together):
    axial = stirred(Axial(6, num_heads=2, together=together))
    y = axial(tiny)
    for b in range(2):
        columns = attend_columns(axial, tiny[b])
        wanted = attend_rows(axial, tiny[b]) + columns if together else attend_rows(axial, columns)
        torch.testing.assert_close(y[b], wanted)


@pytest.mark.parametrize("together", [True, False])
def test_maps_of_both_axes(stirred, tiny, together):
    axial = stirred(Axial(6, together=together))
    columns, rows = axial.attention_map(tiny), axial.attention_map(tiny, axis="row")
    assert columns.shape == (2 * 4, 6, 3, 3)
    assert rows.shape == (2 * 3, 6, 4, 4)
    torch.testing.assert_close(rows.sum(-1), torch.ones(6, 6, 4).double())
    with pytest.raises(FovealError, match="axis='depth'"):
        axial.attention_map(tiny, axis="depth")


def test_reaches_its_row_and_its_column(stirred, tiny):
    for together, reached in ((True, 3 + 4 - 1), (False, 3 * 4)):
        x = tiny[:1].clone().requires_grad_()
        stirred(Axial(6, together=together))(x)[0, :, 1, 2].sum().backward()
        assert (x.grad[0].abs().sum(0) > 0).sum() == reached


@pytest.mark.parametrize(("channels", "heads"), [(64, 8), (20, 5), (7, 7), (1, 1)])
def test_heads_fit_the_channels(channels, heads):
    assert Axial(channels).column.num_heads == heads


def test_wrong_heads_are_refused():
    with pytest.raises(FovealError, match="num_heads=3"):
        Axial(16, num_heads=3)
    assert Axial(16, num_heads=3, head_channels=4).inner == 12
