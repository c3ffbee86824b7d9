from math import erf, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import ViP
from foveal.attention.branch.vip import _resize


def test_is_the_sum_written_by_hand(stirred):
    vip = stirred(ViP(6, segments=3, hidden=2, qkv_bias=True))
    x = torch.randn(2, 6, 3, 3).double()
    y = vip(x)
    for b in range(2):
        u = torch.zeros(3, 6, 3, 3).double()
        for g in range(3):
            segment = slice(2 * g, 2 * g + 2)
            for line in range(3):
                column = x[b, segment, :, line].flatten()  # two channels of three rows
                mixed = vip.mix_column.weight[..., 0] @ column + vip.mix_column.bias
                u[0, segment, :, line] = mixed.view(2, 3)
                row = x[b, segment, line].flatten()
                mixed = vip.mix_row.weight[..., 0] @ row + vip.mix_row.bias
                u[1, segment, line] = mixed.view(2, 3)
        for i in range(3):
            for j in range(3):
                u[2, :, i, j] = vip.mix_channels.weight[..., 0, 0] @ x[b, :, i, j]
                u[2, :, i, j] += vip.mix_channels.bias
        means = u.sum(0).mean((1, 2))
        hidden = vip.choose[0].weight @ means + vip.choose[0].bias
        hidden = torch.tensor([h * (1 + erf(h / sqrt(2))) / 2 for h in hidden.tolist()]).double()
        scores = (vip.choose[2].weight @ hidden + vip.choose[2].bias).view(6, 3).exp()
        shares = scores / scores.sum(1, keepdim=True)
        mixed = sum(shares[:, m, None, None] * u[m] for m in range(3))
        wanted = torch.einsum("oc,chw->ohw", vip.proj.weight[..., 0, 0], mixed)
        torch.testing.assert_close(y[b], wanted + vip.proj.bias[:, None, None])


def test_shares_of_a_channel_sum_to_one(stirred, tiny):
    shares = stirred(ViP(6)).attention_map(tiny)
    assert shares.shape == (2, 6, 3)
    torch.testing.assert_close(shares.sum(2), torch.ones(2, 6).double())


@pytest.mark.parametrize(("old", "new"), [(1, 8), (8, 1), (8, 8), (8, 14), (14, 8), (56, 8)])
def test_resampling_keeps_constants_and_ends(old, new):
    matrix = _resize(old, new, torch.zeros(1).double())
    torch.testing.assert_close(matrix.sum(1), torch.ones(new).double())
    assert (matrix.sum(0) > 0).all()  # nothing is passed over
    if old == new:
        assert matrix.equal(torch.eye(old).double())


@pytest.mark.parametrize(("channels", "segments"), [(64, 8), (20, 5), (7, 7), (1, 1)])
def test_segments_fit_the_channels(channels, segments):
    assert ViP(channels).segments == segments


@pytest.mark.parametrize("options", [{"segments": 3}, {"segments": 0}, {"hidden": 0}])
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        ViP(16, **options)
