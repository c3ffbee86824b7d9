from math import exp, inf, sqrt

import pytest
import torch

from foveal import FovealError, attention_info
from foveal.attention import CSRA


@pytest.mark.parametrize(("heads", "temperatures"), [(1, (1,)), (4, (1, 2, 4, inf))])
def test_is_the_sum_written_by_hand(stirred, tiny, heads, temperatures):
    module = stirred(CSRA(6, num_classes=3, num_heads=heads, weight=0.3))
    assert module.temperature == temperatures
    y = module(tiny)
    assert y.shape == (2, 3)
    for b in range(2):
        for k in range(3):
            wanted = 0.0
            for h, temperature in enumerate(temperatures):
                row = module.classify.weight[3 * h + k, :, 0, 0]
                length = sqrt(sum(float(w) ** 2 for w in row))
                scores = [
                    float(row @ tiny[b, :, i, j]) / length for i in range(3) for j in range(4)
                ]
                wanted += sum(scores) / 12
                if temperature == inf:
                    wanted += 0.3 * max(scores)
                else:
                    e = [exp(temperature * s) for s in scores]
                    wanted += 0.3 * sum(s * w for s, w in zip(scores, e, strict=True)) / sum(e)
            assert y[b, k].item() == pytest.approx(wanted)


def test_maps_of_every_class_and_head(stirred, tiny):
    weights = stirred(CSRA(6, num_classes=3, num_heads=2)).attention_map(tiny)
    assert weights.shape == (2, 2, 3, 12)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 3).double())
    assert weights[:, 1].amax(-1).eq(1).all()  # the last head sees the maximum alone


def test_temperatures_approach_the_maximum(stirred, tiny):
    module = stirred(CSRA(6, num_classes=3, temperature=1e4))
    highest = stirred(CSRA(6, num_classes=3, temperature=inf))
    torch.testing.assert_close(module(tiny), highest(tiny), rtol=1e-4, atol=1e-4)


def test_it_is_a_head_and_no_drop_in():
    card = attention_info("csra")
    assert (card.family, card.output, card.drop_in) == ("head", "scores", False)


def test_options_are_checked():
    with pytest.raises(FovealError, match="num_heads=3; the paper has some for 1, 2, 4, 6, 8"):
        CSRA(8, num_heads=3)
    assert CSRA(8, num_heads=3, temperature=2.0).temperature == (2.0, 2.0, 2.0)
    with pytest.raises(FovealError, match="temperature="):
        CSRA(8, num_heads=2, temperature=(1, -1))
    with pytest.raises(FovealError, match="num_classes=0"):
        CSRA(8, 0)
