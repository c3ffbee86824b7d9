from math import ceil, floor

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import StripPool


def layer(part, x):
    """A convolution of a map (c, h, w) as a sum over taps, then the batch norm."""
    conv, bn, act = part
    height, width = conv.weight.shape[2:]
    padded = F.pad(x, (width // 2, width // 2, height // 2, height // 2))
    y = sum(
        torch.einsum(
            "oc,chw->ohw", conv.weight[..., i, j], padded[:, i:, j:][:, : x.shape[1], : x.shape[2]]
        )
        for i in range(height)
        for j in range(width)
    )
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    y = (y - bn.running_mean[:, None, None]) * scale[:, None, None] + bn.bias[:, None, None]
    return y.clamp(min=0) if isinstance(act, torch.nn.ReLU) else y


def pooled(u, p):
    """Means of p × p bins of a map (c, 3, 4)."""
    y = torch.zeros(u.shape[0], p, p).double()
    for i in range(p):
        for j in range(p):
            top, bottom = floor(i * 3 / p), ceil((i + 1) * 3 / p)
            left, right = floor(j * 4 / p), ceil((j + 1) * 4 / p)
            values = [u[:, h, w] for h in range(top, bottom) for w in range(left, right)]
            y[:, i, j] = sum(values) / len(values)
    return y


def drawn_out(g, p):
    """A grid (c, p, p) at the positions of a map 3 × 4, its corners at the map's corners."""
    y = torch.zeros(g.shape[0], 3, 4).double()
    for h in range(3):
        for w in range(4):
            r, c = h * (p - 1) / 2, w * (p - 1) / 3
            for i in range(p):
                for j in range(p):
                    y[:, h, w] += max(0, 1 - abs(r - i)) * max(0, 1 - abs(c - j)) * g[:, i, j]
    return y


def test_is_the_sum_written_by_hand(stirred, tiny):
    strip = stirred(StripPool(6, pool_size=(5, 2), hidden=2))
    y = strip(tiny)
    for b in range(2):
        u, v = layer(strip.enter_grids, tiny[b]), layer(strip.enter_strips, tiny[b])
        near = layer(strip.local, u)
        for p, grid in zip((5, 2), strip.grids, strict=True):
            near = near + drawn_out(layer(grid, pooled(u, p)), p)
        rows = layer(strip.rows, sum(v[:, :, w : w + 1] for w in range(4)) / 4)
        columns = layer(strip.columns, sum(v[:, h : h + 1] for h in range(3)) / 3)
        near = layer(strip.mix_grids, near.clamp(min=0))
        far = layer(strip.mix_strips, (rows + columns).clamp(min=0))
        wanted = (tiny[b] + layer(strip.leave, torch.cat((near, far)))).clamp(min=0)
        torch.testing.assert_close(y[b], wanted)


def test_the_defaults_are_the_authors():
    strip = StripPool(64)
    assert strip.pool_size == (20, 12)
    assert strip.hidden == 16


@pytest.mark.parametrize("options", [{"pool_size": (0, 12)}, {"hidden": 0}, {"reduction": 0}])
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        StripPool(8, **options)
