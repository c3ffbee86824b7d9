import torch
from torch.nn import functional as F

from foveal.ops.cross_covariance import cross_covariance_weights


def test_is_the_softmax_of_cosines():
    q, k = torch.randn(2, 2, 3, 4, 7).double()
    temperature = torch.rand(3, 1, 1).double()
    cosines = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT
    wanted = (cosines * temperature).softmax(-1)
    torch.testing.assert_close(cross_covariance_weights(q, k, temperature), wanted)


def test_nothing_gives_equal_weights_and_finite_gradients():
    q = torch.zeros(1, 1, 4, 5, requires_grad=True)
    k = torch.zeros(1, 1, 4, 5, requires_grad=True)
    weights = cross_covariance_weights(q, k, torch.ones(1, 1, 1))
    torch.testing.assert_close(weights, torch.full((1, 1, 4, 4), 0.25))
    (weights * torch.randn(4, 4)).sum().backward()
    assert q.grad.isfinite().all()
    assert k.grad.isfinite().all()
