from math import sqrt

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import GSoP


def test_is_the_sum_written_by_hand(stirred, tiny):
    gsop = stirred(GSoP(6, hidden=3, expansion=2))
    y = gsop(tiny)
    conv, norm, _ = gsop.reduce
    for b in range(2):
        u = torch.einsum("oc,chw->ohw", conv.weight[:, :, 0, 0], tiny[b])
        rows = []
        for i in range(3):
            scaled = (u[i] - norm.running_mean[i]) / sqrt(norm.running_var[i] + norm.eps)
            rows.append(F.relu(scaled * norm.weight[i] + norm.bias[i]).flatten().tolist())
        means = [sum(row) / 12 for row in rows]
        found = []
        for i in range(3):
            bn, shares = gsop.row_norm, []
            for j in range(3):
                pairs = zip(rows[i], rows[j], strict=True)
                together = sum((p - means[i]) * (q - means[j]) for p, q in pairs) / 12
                together = (together - bn.running_mean[i]) / sqrt(bn.running_var[i] + bn.eps)
                shares.append(together * bn.weight[i] + bn.bias[i])
            for filter_ in range(2 * i, 2 * i + 2):
                weights = gsop.row_conv.weight[filter_, 0, :, 0]
                total = sum(w * share for w, share in zip(weights, shares, strict=True))
                found.append(total + gsop.row_conv.bias[filter_])
        scores = gsop.excite.weight[:, :, 0, 0] @ torch.stack(found) + gsop.excite.bias
        torch.testing.assert_close(y[b], tiny[b] * scores.sigmoid()[:, None, None])


def test_the_width_is_the_papers():
    assert [GSoP(c).hidden for c in (512, 128, 64, 1)] == [128, 128, 64, 1]


def test_no_width_is_refused():
    for options in ({"hidden": 0}, {"expansion": 0}):
        with pytest.raises(FovealError, match="at least 1"):
            GSoP(16, **options)
