import pytest
import torch

from foveal.ops import standout
from foveal.ops.standout import gate_standout, standout_weights


@pytest.fixture(params=["contiguous", "channels last", "strided"])
def x(request, monkeypatch):
    monkeypatch.setattr(standout, "BLOCK", 12)  # two channels to a block, and one left over
    x = torch.randn(3, 3, 2, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    if request.param == "strided":
        return x[..., ::2].detach().requires_grad_()
    last = request.param == "channels last"
    order = torch.channels_last if last else torch.contiguous_format
    return x[..., :3].contiguous(memory_format=order).requires_grad_()


def gradient(y, x):
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return torch.autograd.grad((y * weights).sum(), x)[0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_agrees_with_the_plain_form(x, dtype):
    x = x.detach().to(dtype).requires_grad_()
    ours, plain = gate_standout(x, 1e-2), x * standout_weights(x, 1e-2)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(ours, plain, rtol=0, atol=tolerance)
    torch.testing.assert_close(gradient(ours, x), gradient(plain, x), rtol=0, atol=tolerance)


def test_gradients_are_derivatives_the_second_ones_too(x):
    torch.autograd.gradcheck(lambda x: gate_standout(x, 0.1), x)
    torch.autograd.gradgradcheck(lambda x: gate_standout(x, 0.1), x)


@pytest.mark.parametrize("size", [(1, 1), (1, 4)])
def test_one_position_and_constants(size):
    x = torch.full((2, 3, *size), 2.0, requires_grad=True)
    y = gate_standout(x, 1e-4)
    torch.testing.assert_close(y, x * torch.tensor(0.5).sigmoid())
    torch.testing.assert_close(gradient(y, x), gradient(x * standout_weights(x, 1e-4), x))


def test_a_gradient_that_is_one_number_spread_out(x):
    gate_standout(x, 0.1).sum().backward()
    (wanted,) = torch.autograd.grad((x * standout_weights(x, 0.1)).sum(), x)
    torch.testing.assert_close(x.grad, wanted, rtol=0, atol=1e-12)


def test_functional_transforms_take_the_plain_form(x):
    x = x.detach()
    found = torch.func.grad(lambda x: gate_standout(x, 0.1).square().sum())(x)
    x.requires_grad_()
    (wanted,) = torch.autograd.grad(gate_standout(x, 0.1).square().sum(), x)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
