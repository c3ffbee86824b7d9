from math import exp, sqrt

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import IRMB


@pytest.mark.parametrize("expand_first", [False, True])
@pytest.mark.parametrize("partition", ["grid", "block"])
def test_is_the_sum_written_by_hand(stirred, expand_first, partition):
    """Two heads in windows of 2 × 2, on a map whose width they do not divide."""
    block = stirred(IRMB(4, num_heads=2, window_size=2, partition=partition, kernel_size=3,
                         expansion=2, expand_first=expand_first))  # fmt: skip
    x = torch.randn(2, 4, 4, 5).double()
    y = block(x)
    rows = {"grid": [(0, 2), (1, 3)], "block": [(0, 1), (2, 3)]}[partition]
    columns = {"grid": [(0, 3), (1, 4), (2,)], "block": [(0, 1), (2, 3), (4,)]}[partition]
    windows = [[(r, c) for r in two for c in some] for two in rows for some in columns]

    def value(v):
        v = block.value[0].weight[:, :, 0, 0] @ v + block.value[0].bias
        return F.gelu(v)

    for b in range(2):
        z = torch.zeros(8, 4, 5).double()
        for window in windows:
            given, q, k = {}, {}, {}
            for p in window:
                t = x[b, :, p[0], p[1]]
                t = (t - t.mean()) / (t.var(unbiased=False) + 1e-6).sqrt()
                given[p] = t * block.norm.weight + block.norm.bias
                q[p], k[p] = (block.qk.weight @ given[p] + block.qk.bias).chunk(2)
            values = {p: value(t) for p, t in given.items()} if expand_first else given
            for p in window:
                heads = []
                for head in range(2):
                    part = slice(2 * head, 2 * head + 2)
                    wide = slice(4 * head, 4 * head + 4) if expand_first else part
                    scores = {j: exp(float(q[p][part] @ k[j][part]) / sqrt(2)) for j in window}
                    total = sum(scores.values())
                    heads.append(sum(scores[j] / total * values[j][wide] for j in window))
                taken = torch.cat(heads)
                z[:, p[0], p[1]] = taken if expand_first else value(taken)
        conv, norm, _ = block.local
        inner = F.conv2d(z[None], conv.weight, padding=1, groups=8)
        inner = F.batch_norm(
            inner, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-6
        )
        inner = z + (inner * inner.sigmoid())[0]
        wanted = x[b] + torch.einsum("oi,ihw->ohw", block.proj.weight[:, :, 0, 0], inner)
        torch.testing.assert_close(y[b], wanted)


def test_defaults_are_those_of_emo_5m():
    block = IRMB(160)
    assert (block.num_heads, block.hidden, block.kernel_size) == (5, 640, 5)
    assert (block.window, block.layer_norm) == ((7, 7), True)


@pytest.mark.parametrize("partition", ["grid", "block"])
def test_padding_is_not_attended_to(stirred, partition):
    block = stirred(IRMB(8, window_size=4, partition=partition))
    weights = block.attention_map(torch.randn(1, 8, 1, 1).double())
    assert weights[0, 0, 0, 0].tolist() == [1.0] + [0.0] * 15


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 4},
        {"num_heads": 3},
        {"window_size": 0},
        {"partition": "stripes"},
        {"norm": "group"},
        {"expansion": 0},
        {"num_heads": 8, "expansion": 1.2, "expand_first": True},
        {"act": "silly"},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        IRMB(16, **options)
