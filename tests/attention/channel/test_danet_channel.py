from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import DANetChannel


@pytest.mark.parametrize(("attend_to", "sign"), [("unlike", -1), ("alike", 1)])
def test_is_the_sum_written_by_hand(stirred, tiny, attend_to, sign):
    module = stirred(DANetChannel(6, attend_to))
    x = tiny * 0.3
    y = module(x)
    for b in range(2):
        for i in range(6):
            products = [float((x[b, i] * x[b, j]).sum()) for j in range(6)]
            exponentials = [exp(sign * p) for p in products]
            attended = sum(e / sum(exponentials) * x[b, j] for j, e in enumerate(exponentials))
            torch.testing.assert_close(y[b, i], x[b, i] + module.gamma * attended)


def test_half_precision_does_not_overflow():
    """Products of whole channels pass 65504 at quite ordinary sizes."""
    module = DANetChannel(8).half()
    torch.nn.init.ones_(module.gamma)
    assert module(torch.randn(1, 8, 64, 64).half() * 30).isfinite().all()


def test_other_choices_are_refused():
    with pytest.raises(FovealError, match="'unlike' or 'alike'"):
        DANetChannel(8, "nearest")
