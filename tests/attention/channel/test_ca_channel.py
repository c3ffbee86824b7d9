from math import exp, log, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import CAChannel

POOLS = {
    "avg": lambda values: sum(values) / len(values),
    "max": max,
    "lp": lambda values: sqrt(sum(v * v for v in values)),
    "lse": lambda values: log(sum(exp(v) for v in values)),
}


@pytest.mark.parametrize("pools", [("avg", "max"), ("lp",), ("lse", "avg", "max", "lp")])
def test_is_the_sum_written_by_hand(stirred, tiny, pools):
    gate = stirred(CAChannel(6, reduction=3, pools=pools))
    y = gate(tiny)
    for b in range(2):
        scores = torch.zeros(6).double()
        for pool in pools:
            pooled = [POOLS[pool](tiny[b, c].flatten().tolist()) for c in range(6)]
            hidden = gate.squeeze.weight @ torch.tensor(pooled).double() + gate.squeeze.bias
            scores += gate.excite.weight @ hidden.clamp(min=0) + gate.excite.bias
        torch.testing.assert_close(y[b], tiny[b] * scores.sigmoid()[:, None, None])


def test_log_sum_exp_stays_finite_for_large_values():
    gate = CAChannel(4, 2, pools=("lse",))
    assert gate(torch.full((1, 4, 3, 3), 1e4)).isfinite().all()


def test_unknown_pools_are_refused():
    for pools in (("mean",), (), "avg"):
        with pytest.raises(FovealError, match="must be a sequence of 'avg'"):
            CAChannel(16, pools=pools)
