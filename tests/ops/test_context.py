import pytest
import torch
from torch import nn

from foveal.ops.context import add_context, gather_context


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 4)).double()


@pytest.fixture(params=[torch.contiguous_format, torch.channels_last])
def inputs(request):
    torch.manual_seed(1)
    x = torch.randn(2, 4, 2, 3).double().contiguous(memory_format=request.param)
    return x.requires_grad_(), torch.randn(1, 4).double().requires_grad_()


def plainly(x, scorer, network):
    return x + network(gather_context(x, scorer))[..., None, None]


def test_the_context_is_the_sum_written_by_hand(inputs):
    x, scorer = (tensor.detach() for tensor in inputs)
    for b in range(2):
        scores = [float(sum(scorer[0, c] * p[c] for c in range(4))) for p in x[b].flatten(1).T]
        shares = torch.tensor(scores).double().exp()
        wanted = sum(s * p for s, p in zip(shares / shares.sum(), x[b].flatten(1).T, strict=True))
        torch.testing.assert_close(gather_context(x, scorer)[b], wanted, rtol=0, atol=1e-6)


def test_agrees_with_the_plain_form(inputs, network):
    x, scorer = inputs
    weights = torch.randn(2, 4, 2, 3, dtype=x.dtype)
    ours = add_context(x, scorer, network, network.parameters())
    plain = plainly(x, scorer, network)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)
    asked = [x, scorer, *network.parameters()]
    found = torch.autograd.grad((ours * weights).sum(), asked)
    wanted = torch.autograd.grad((plain * weights).sum(), asked)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_gradients_are_derivatives_the_second_ones_too(inputs, network):
    def run(x, scorer):
        return add_context(x, scorer, network, network.parameters())

    torch.autograd.gradcheck(run, inputs)
    torch.autograd.gradgradcheck(run, inputs)
