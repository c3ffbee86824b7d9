"""The few-passes form against the plain one: outputs and all gradients."""

import pytest
import torch

from foveal.ops.moments import gate_by_moments, moments

KINDS = ["variance", "norm"]
ORDERS = [torch.contiguous_format, torch.channels_last]


def weigh(weight):
    def gate(first, more=0.3):
        score = weight * first + (more + 1e-3) ** 0.5
        return (score @ torch.ones(4, 4).to(score) * 0.3 + score).sigmoid()

    return gate


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(3, 5), (1, 1), (8, 8)])
def test_agrees_with_the_plain_formula(kind, size, order):
    torch.manual_seed(0)
    x = (torch.randn(2, 4, *size).double() + 0.5).contiguous(memory_format=order)
    weight, pull = torch.randn(4).double(), torch.randn(2, 4, *size).double()
    results = []
    for fast in (True, False):
        a, w = x.clone().requires_grad_(), weight.clone().requires_grad_()
        y = gate_by_moments(a, weigh(w), kind) if fast else None
        y = a * weigh(w)(*moments(a, kind))[..., None, None] if y is None else y
        results.append((y, *torch.autograd.grad((y * pull).sum(), (a, w))))
        with torch.no_grad():
            torch.testing.assert_close(gate_by_moments(a, weigh(w), kind), y)
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_twice(kind):
    torch.manual_seed(0)
    x = torch.randn(1, 4, 2, 3).double().requires_grad_()
    w = torch.randn(4).double().requires_grad_()

    def gated(x, w):
        return gate_by_moments(x * 1, weigh(w), kind)

    assert torch.autograd.gradcheck(gated, (x, w))
    assert torch.autograd.gradgradcheck(gated, (x, w))


@pytest.mark.parametrize("kind", KINDS)
def test_under_function_transforms(kind):
    x, w = torch.randn(2, 4, 3, 5), torch.randn(4)

    def loss(x):
        return gate_by_moments(x, weigh(w), kind).square().sum()

    def plain(x):
        return (x * weigh(w)(*moments(x, kind))[..., None, None]).square().sum()

    torch.testing.assert_close(torch.func.grad(loss)(x), torch.func.grad(plain)(x))


def test_zeros_have_no_norm_and_no_gradient():
    x = torch.zeros(1, 4, 3, 3, requires_grad=True)
    gate_by_moments(x, torch.sigmoid, "norm").sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 0.5))


@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4])
def test_variance_is_taken_about_the_mean(offset):
    """A mean of squares less the square of the mean would keep no digit of it."""
    x = torch.randn(1, 2, 16, 16) + offset
    seen = []
    gate_by_moments(x, lambda mean, variance: seen.append(variance) or mean, "variance")
    wanted = x.double().var((2, 3), correction=0)
    torch.testing.assert_close(seen[0].double(), wanted, rtol=1e-4, atol=1e-5 + 1e-6 * offset)


def test_half_precision_does_not_overflow():
    x = 2000 * torch.randn(1, 2, 8, 8).half()
    _, variance = moments(x, "variance")
    assert variance.dtype == torch.float32
    assert variance.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_keeps_the_type(dtype):
    x = torch.randn(2, 4, 3, 5).to(dtype).requires_grad_()
    y = gate_by_moments(x, lambda mean, variance: (mean + variance).sigmoid(), "variance")
    y.sum().backward()
    assert y.dtype == x.grad.dtype == dtype
