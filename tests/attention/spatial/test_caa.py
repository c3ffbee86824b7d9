import pytest
import torch

from foveal import FovealError
from foveal.attention import CAA


def test_is_the_sum_written_by_hand(stirred, tiny):
    caa = stirred(CAA(6, kernel_size=(3, 5), pool_size=3))
    y = caa(tiny)

    def pointwise(layers, x):
        conv, bn, _ = layers
        z = torch.einsum("oc,chw->ohw", conv.weight[..., 0, 0], x)
        scale = bn.weight / (bn.running_var + 0.001).sqrt()
        z = (z - bn.running_mean[:, None, None]) * scale[:, None, None] + bn.bias[:, None, None]
        return z * z.sigmoid()

    def at(x, h, w):
        return x[:, h, w] if 0 <= h < 3 and 0 <= w < 4 else torch.zeros(6).double()

    def summed(taps, x, start, bias=0.0):
        """Sums of the taps (6, i, j) with the map, whose first tap lies `start` steps away."""
        y = torch.zeros(6, 3, 4).double() + bias
        for h in range(3):
            for w in range(4):
                for i in range(taps.shape[1]):
                    for j in range(taps.shape[2]):
                        y[:, h, w] += taps[:, i, j] * at(x, h + i + start[0], w + j + start[1])
        return y

    for b in range(2):
        means = summed(torch.full((6, 3, 3), 1 / 9).double(), tiny[b], (-1, -1))
        u = pointwise(caa.first, means)
        rows = summed(caa.row.weight[:, 0], u, (0, -2), caa.row.bias[:, None, None])
        cross = summed(caa.column.weight[:, 0], rows, (-1, 0), caa.column.bias[:, None, None])
        torch.testing.assert_close(y[b], tiny[b] * pointwise(caa.last, cross).sigmoid())


def test_the_defaults_are_the_authors():
    caa = CAA(64)
    assert caa.row.kernel_size == (1, 11)
    assert caa.column.kernel_size == (11, 1)
    assert (caa.first[1].eps, caa.first[1].momentum, caa.pool_size) == (0.001, 0.03, 7)


def test_no_weight_is_below_what_silu_leaves(stirred):
    weights = stirred(CAA(8)).attention_map(100 * torch.randn(2, 8, 9, 9).double())
    assert 0.43 < weights.min() < weights.max() <= 1


@pytest.mark.parametrize("options", [{"kernel_size": 10}, {"pool_size": 4}, {"act": "silo"}])
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        CAA(8, **options)
