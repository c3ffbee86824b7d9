from math import exp, sqrt

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import MOA


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (8, 2)])
def test_is_the_sum_written_by_hand(stirred, size):
    moa = stirred(MOA(4, num_heads=2, window_size=2, hidden=3, num_windows=2))
    x = torch.randn(4, *size).double()
    squeezed = torch.einsum("oc,chw->ohw", moa.squeeze.weight[..., 0, 0], x)
    squeezed += moa.squeeze.bias[:, None, None]
    wide = F.pad(squeezed, (1, 3, 1, 3))  # one around, and what fills the last window up
    windows = [(r, c) for r in range(-(-size[0] // 2)) for c in range(-(-size[1] // 2))]
    q, k, v = {}, {}, {}
    for r, c in windows:
        own = wide[:, 1 + 2 * r : 3 + 2 * r, 1 + 2 * c : 3 + 2 * c]
        around = wide[:, 2 * r : 2 * r + 4, 2 * c : 2 * c + 4]
        q[r, c] = (moa.query.weight * own).sum((1, 2, 3)) + moa.query.bias
        kv = (moa.key_value.weight * around).sum((1, 2, 3)) + moa.key_value.bias
        k[r, c], v[r, c] = kv.split(4)
    table = moa.table.view(3, 3, 2)
    wanted = x.clone()
    for i in windows:
        heads = []
        for head in range(2):
            part, scores = slice(2 * head, 2 * head + 2), {}
            for j in windows:
                steps = [max(-1, min(1, a - b)) + 1 for a, b in zip(i, j, strict=True)]
                bias = float(table[(*steps, head)])
                scores[j] = exp(float(q[i][part] @ k[j][part]) / sqrt(2) + bias)
            heads.append(sum(s * v[j][part] for j, s in scores.items()) / sum(scores.values()))
        token = moa.proj.weight @ torch.cat(heads) + moa.proj.bias
        wanted[:, 2 * i[0] : 2 * i[0] + 2, 2 * i[1] : 2 * i[1] + 2] += token[:, None, None]
    torch.testing.assert_close(moa(x[None])[0], wanted)


def test_layers_over_windows_see_a_32nd_of_the_channels():
    moa = MOA(96, window_size=14)
    assert moa.query.weight.shape == (96, 3, 14, 14)
    assert moa.key_value.weight.shape == (192, 3, 16, 16)
    assert moa.num_heads == 3


def test_what_is_added_is_one_vector_for_each_window(stirred):
    moa = stirred(MOA(8, window_size=3))
    x = torch.randn(1, 8, 6, 7).double()
    added = (moa(x) - x)[..., :3, 3:6].flatten(2)
    torch.testing.assert_close(added, added[..., :1].expand_as(added))


@pytest.mark.parametrize(
    "options", [{"num_heads": 3}, {"window_size": 0}, {"overlap": -1}, {"reduction": 0}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError, match=next(iter(options))):
        MOA(16, **options)
