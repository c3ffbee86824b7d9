from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import SOCA


def test_is_the_sum_written_by_hand(stirred, tiny):
    soca = stirred(SOCA(6, reduction=3, iterations=60))
    y = soca(tiny)
    for b in range(2):
        values = [tiny[b, c].flatten().tolist() for c in range(6)]
        means = [sum(row) / 12 for row in values]
        sigma = torch.zeros(6, 6).double()
        for i in range(6):
            for j in range(6):
                pairs = zip(values[i], values[j], strict=True)
                sigma[i, j] = sum((p - means[i]) * (q - means[j]) for p, q in pairs) / 12
        found, vectors = torch.linalg.eigh(sigma)
        root = vectors @ torch.diag(found.clamp(min=0).sqrt()) @ vectors.T
        z = [sum(root[c].tolist()) / 6 for c in range(6)]
        hidden = []
        for k in range(2):
            total = sum(float(soca.squeeze.weight[k, c]) * z[c] for c in range(6))
            hidden.append(max(0.0, total + float(soca.squeeze.bias[k])))
        for c in range(6):
            score = sum(float(soca.excite.weight[c, k]) * hidden[k] for k in range(2))
            weight = 1 / (1 + exp(-score - float(soca.excite.bias[c])))
            torch.testing.assert_close(y[b, c], tiny[b, c] * weight)


def test_no_matrix_of_pairs_of_positions():
    """The published code needs 256 GB for this map."""
    assert SOCA(8)(torch.randn(1, 8, 500, 500)).isfinite().all()


def test_a_constant_map_has_no_covariance(stirred):
    soca = stirred(SOCA(8))
    x = torch.full((1, 8, 3, 3), 5.0).double()
    hidden = soca.squeeze.bias.relu()
    wanted = (soca.excite.weight @ hidden + soca.excite.bias).sigmoid()
    torch.testing.assert_close(soca.attention_map(x).flatten(), wanted, atol=1e-5, rtol=0)


def test_no_iteration_is_refused():
    with pytest.raises(FovealError, match="iterations=0"):
        SOCA(8, iterations=0)
