import pytest
import torch

from foveal import FovealError
from foveal.ops.feature_maps import elu_plus_one, feature_map, linear_attend, linear_weights


def features(*shape, seed=0):
    return elu_plus_one(torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double())


def test_is_the_sum_written_by_hand():
    q, k, v = features(2, 3, 4), features(2, 5, 4, seed=1), torch.randn(2, 5, 6).double()
    y = linear_attend(q, k, v, eps=0.1)
    for b in range(2):
        for i in range(3):
            scores = [float(q[b, i] @ k[b, j]) for j in range(5)]
            wanted = sum(s * v[b, j] for j, s in enumerate(scores)) / (sum(scores) + 0.1)
            torch.testing.assert_close(y[b, i], wanted)


@pytest.mark.parametrize("how", [{}, {"eps": 0.3}, {"eps": 0.0, "least": 7.0}])
def test_weights_are_those_that_are_used(how):
    q, k, v = features(2, 3, 4), features(2, 5, 4, seed=1), torch.randn(2, 5, 6).double()
    torch.testing.assert_close(linear_weights(q, k, **how) @ v, linear_attend(q, k, v, **how))


def test_a_sum_of_nothing_is_raised():
    nothing = torch.zeros(1, 3, 4)
    assert linear_attend(nothing, nothing, torch.ones(1, 3, 2)).equal(torch.zeros(1, 3, 2))
    assert linear_attend(nothing, nothing, torch.ones(1, 3, 2), eps=0, least=1e-6).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow(dtype):
    """A plain sum of 4096 products of 300 · 300 · 8 is far above 65504."""
    q = k = torch.full((1, 4096, 8), 300.0, dtype=dtype)
    v = torch.full((1, 4096, 8), 300.0, dtype=dtype, requires_grad=True)
    y = linear_attend(q, k, v)
    assert y.dtype == dtype
    torch.testing.assert_close(y, v.detach(), rtol=0.02, atol=0)
    y.sum().backward()
    assert v.grad.isfinite().all()


def test_unknown_feature_maps_are_refused():
    with pytest.raises(FovealError, match="there is no feature map 'rely'"):
        feature_map("rely")
    assert feature_map("elu")(torch.zeros(1)).equal(torch.ones(1))
