import pytest
import torch

from foveal.ops.covariance import covariance, matrix_root


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_covariance_is_that_of_torch(offset):
    x = torch.randn(2, 4, 5, 6) + offset
    for image, found in zip(x, covariance(x), strict=True):
        wanted = torch.cov(image.flatten(1).double(), correction=0)
        torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=1e-4)


def test_root_squared_is_the_matrix():
    a = covariance(torch.randn(3, 5, 8, 8).double())
    root = matrix_root(a, iterations=20)
    torch.testing.assert_close(root @ root, a)


def test_few_iterations_are_those_of_the_authors():
    """Their loop, written out with Z and Y of each step; the last makes Y alone."""
    a = covariance(torch.randn(2, 4, 6, 6).double())
    for b in range(2):
        trace = a[b].trace()
        y, z, eye = a[b] / trace, torch.eye(4).double(), torch.eye(4).double()
        for _ in range(5):
            factor = (3 * eye - z @ y) / 2
            y, z = y @ factor, factor @ z
        torch.testing.assert_close(matrix_root(a)[b], y * trace**0.5)


def test_nothing_has_the_root_nothing():
    a = torch.zeros(1, 4, 4, requires_grad=True)
    root = matrix_root(a)
    root.sum().backward()
    assert torch.equal(root, torch.zeros(1, 4, 4))
    assert a.grad.isfinite().all()


def test_half_precision_is_summed_in_float32():
    x = 300 * torch.randn(1, 4, 16, 16).half()
    assert covariance(x).dtype == torch.float32
    assert covariance(x).isfinite().all()
