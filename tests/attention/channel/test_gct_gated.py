from math import sqrt, tanh

import pytest
import torch

from foveal import FovealError
from foveal.attention import GCTGated
from foveal.testing import check_attention


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_is_the_sum_written_by_hand(stirred, tiny, norm):
    gct = stirred(GCTGated(6, norm))
    y = gct(tiny)
    for b in range(2):
        strengths = []
        for c in range(6):
            values = tiny[b, c].flatten().tolist()
            size = sqrt(sum(v * v for v in values) + 1e-5)
            size = sum(map(abs, values)) if norm == "l1" else size
            strengths.append(float(gct.alpha[c]) * size)
        if norm == "l1":
            scale = sum(map(abs, strengths)) / 6 + 1e-5
        else:
            scale = sqrt(sum(s * s for s in strengths) / 6 + 1e-5)
        for c in range(6):
            score = float(gct.gamma[c]) * strengths[c] / scale + float(gct.beta[c])
            torch.testing.assert_close(y[b, c], tiny[b, c] * (1 + tanh(score)))


def test_is_born_an_identity():
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(GCTGated(8)(x), x)


def test_negative_gamma_damps_the_strong():
    gct = GCTGated(2)
    torch.nn.init.constant_(gct.gamma, -1.0)
    x = torch.ones(1, 2, 3, 3)
    x[:, 0] *= 10
    strong, weak = gct.attention_map(x).flatten()
    assert strong < weak


def test_sums_keep_the_laws():
    laws = ["cost", "shape", "precision", "finite", "attention_map"]
    check_attention("gct_gated", laws=laws, norm="l1")


def test_after_relu_nothing_is_negative(stirred, tiny):
    gct = stirred(GCTGated(6, "l1"))
    y = gct(tiny.relu())
    gct.after_relu = True
    torch.testing.assert_close(gct(tiny.relu()), y)


def test_what_does_not_fit_is_refused():
    for options in ({"norm": "l3"}, {"eps": 0.0}):
        with pytest.raises(FovealError):
            GCTGated(8, **options)
