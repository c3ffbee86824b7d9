from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import SASA


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("mask_edges", [True, False])
def test_is_the_sum_written_by_hand(stirred, tiny, dilation, mask_edges):
    sasa = stirred(SASA(6, num_heads=2, kernel_size=3, dilation=dilation, mask_edges=mask_edges))
    x = tiny[0]
    q, k, v = (torch.einsum("oc,chw->ohw", w[:, :, 0, 0], x) for w in sasa.qkv.weight.chunk(3))
    wanted = torch.zeros_like(x)
    for i in range(3):
        for j in range(4):
            for head in range(2):
                part, scores, values = slice(3 * head, 3 * head + 3), [], []
                for a in range(3):
                    for b in range(3):
                        row, column = i + (a - 1) * dilation, j + (b - 1) * dilation
                        inside = 0 <= row < 3 and 0 <= column < 4
                        if not inside and mask_edges:
                            continue
                        # two channels of a head ask after the row, one after the column
                        place = torch.cat((sasa.rows[head, :, a], sasa.columns[head, :, b]))
                        nothing = torch.zeros(3).double()
                        key = k[part, row, column] if inside else nothing
                        scores.append(exp(float(q[part, i, j] @ (key + place))))
                        values.append(v[part, row, column] if inside else nothing)
                mean = sum(s * u for s, u in zip(scores, values, strict=True)) / sum(scores)
                wanted[part, i, j] = mean
    torch.testing.assert_close(sasa(tiny)[0], wanted)


def test_parameters_are_fewer_than_a_convolutions():
    """Three projections and 7 + 7 embeddings of half the width, not 49 C²."""
    assert sum(p.numel() for p in SASA(64).parameters()) == 3 * 64**2 + 14 * 32


def test_the_map_is_of_each_positions_neighbours(stirred):
    sasa = stirred(SASA(8, kernel_size=3))
    weights = sasa.attention_map(torch.randn(1, 8, 5, 6).double())
    assert weights.shape == (1, 2, 5, 6, 9)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 2, 5, 6).double())
    assert (weights[0, 0, 0, 0] > 0).tolist() == 3 * [False] + 2 * [False, True, True]


def test_default_heads():
    assert [SASA(c).num_heads for c in (64, 20, 8, 7, 1)] == [8, 5, 2, 1, 1]


@pytest.mark.parametrize("options", [{"num_heads": 3}, {"kernel_size": 4}, {"dilation": 0}])
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError, match=next(iter(options))):
        SASA(16, **options)
