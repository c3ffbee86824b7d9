from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import Halo


@pytest.mark.parametrize("mask_edges", [True, False])
@pytest.mark.parametrize("size", [(4, 6), (3, 5)])
def test_is_the_sum_written_by_hand(stirred, size, mask_edges):
    halo = stirred(
        Halo(4, num_heads=2, head_channels=3, block_size=2, halo_size=1, mask_edges=mask_edges)
    )
    x = torch.randn(4, *size).double()

    def at(weight, place):
        inside = all(0 <= p < n for p, n in zip(place, size, strict=True))
        return weight[..., 0, 0] @ x[:, place[0], place[1]] if inside else None

    wanted = torch.zeros_like(x)
    for row in range(size[0]):
        for column in range(size[1]):
            q = at(halo.query.weight, (row, column))
            for head in range(2):
                scores, values = [], []
                for r in range(row // 2 * 2 - 1, row // 2 * 2 + 3):
                    for c in range(column // 2 * 2 - 1, column // 2 * 2 + 3):
                        kv = at(halo.key_value.weight, (r, c))
                        if kv is None and mask_edges:
                            continue
                        kv = torch.zeros(10).double() if kv is None else kv
                        k, v = kv[5 * head : 5 * head + 5].split((3, 2))
                        # the tables begin at the lowest position seeing the topmost neighbour: −2
                        place = halo.rows[r - row + 2] + halo.columns[c - column + 2]
                        part = q[3 * head : 3 * head + 3]
                        scores.append(exp(float(part @ k) / sqrt(3) + float(part @ place)))
                        values.append(v)
                mean = sum(s * v for s, v in zip(scores, values, strict=True)) / sum(scores)
                wanted[2 * head : 2 * head + 2, row, column] = mean
    torch.testing.assert_close(halo(x[None])[0], wanted)


def test_neighbourhood_is_the_papers():
    """Blocks of 8 with a halo of 3 see 14 × 14; tables hold only relative positions that occur."""
    halo = Halo(64)
    assert halo.reach == 14
    assert halo.rows.shape == (21, 8)


def test_queries_matter_and_the_edge_does_not(stirred):
    """A widespread implementation masks what is valid, so that its weights are all equal."""
    halo = stirred(Halo(8, num_heads=1, block_size=4, halo_size=1))
    x = torch.randn(1, 8, 8, 8).double()
    weights = halo.attention_map(x)
    assert weights.shape == (1, 4, 1, 16, 36)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 4, 1, 16).double())
    assert weights.std(-1).min() > 1e-4
    corner = weights[0, 0, 0].unflatten(-1, (6, 6))
    assert (corner[:, 0] == 0).all()
    assert (corner[:, :, 0] == 0).all()
    assert (corner[:, 1:, 1:] > 0).all()


def test_positions_may_be_scaled_with_the_rest(stirred):
    halo = stirred(Halo(8, num_heads=2))
    scaled = Halo(8, num_heads=2, scale_positions=True).double()
    scaled.load_state_dict(halo.state_dict())
    x = torch.randn(1, 8, 5, 5).double()
    assert not torch.allclose(scaled(x), halo(x))
    scaled.rows.data *= 2
    scaled.columns.data *= 2
    torch.testing.assert_close(scaled(x), halo(x))


@pytest.mark.parametrize(
    "options", [{"num_heads": 3}, {"block_size": 0}, {"halo_size": -1}, {"head_channels": 0}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError, match=next(iter(options))):
        Halo(16, **options)
