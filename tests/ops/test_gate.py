import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import foveal
from foveal.measure import count_traffic
from foveal.ops import gate
from foveal.ops.gate_both import gate_channels_then_positions

LAYOUTS = [torch.contiguous_format, torch.channels_last]


class Channels(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def weigh(self, means):
        return self.layer(means).sigmoid()

    def forward(self, x):
        return gate.gate_channels(x, self.weigh, self.parameters())

    def plainly(self, x):
        return x * self.weigh(x.mean((2, 3)))[..., None, None]


class Strips(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv1d(6, 6, 1)

    def weigh(self, rows, columns):
        both = self.layer(torch.cat((rows, columns), dim=2)).sigmoid()
        return both[..., : rows.shape[2]], both[..., rows.shape[2] :]

    def forward(self, x):
        return gate.gate_strips(x, self.weigh, self.parameters())

    def plainly(self, x):
        rows, columns = self.weigh(x.mean(3), x.mean(2))
        return x * rows[..., None] * columns[:, :, None]


class ChannelsByBoth(Channels):
    def weigh(self, means, maxima):
        return (self.layer(means) - 0.5 * self.layer(maxima)).sigmoid()

    def forward(self, x):
        return gate.gate_channels(x, self.weigh, self.parameters(), maximum=True)

    def plainly(self, x):
        return x * self.weigh(x.mean((2, 3)), x.amax((2, 3)))[..., None, None]


class Positions(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(2, 1, 3, padding=1)

    def weigh(self, both):
        return self.layer(both).sigmoid()

    def forward(self, x):
        return gate.gate_positions(x, self.weigh, self.parameters())

    def plainly(self, x):
        return x * self.weigh(torch.stack((x.amax(1), x.mean(1)), 1))


class ChannelsThenPositions(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = ChannelsByBoth(), Positions()

    @property
    def layer(self):
        return self.first.layer

    def forward(self, x):
        first, second = self.first, self.second
        return gate_channels_then_positions(
            x, first.weigh, first.parameters(), second.weigh, second.parameters()
        )

    def plainly(self, x):
        return self.second.plainly(self.first.plainly(x))


@pytest.fixture(params=[Channels, ChannelsByBoth, Strips, Positions, ChannelsThenPositions])
def module(request):
    torch.manual_seed(0)
    return request.param().double()


@pytest.fixture(params=LAYOUTS)
def x(request):
    x = torch.randn(2, 6, 3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x.contiguous(memory_format=request.param).requires_grad_()


def outputs_and_gradients(module, run, x):
    y = run(x)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return [y, *torch.autograd.grad((y * weights).sum(), [x, *module.parameters()])]


def test_agrees_with_the_plain_form(module, x):
    found = outputs_and_gradients(module, module, x)
    wanted = outputs_and_gradients(module, module.plainly, x)
    for ours, plain in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-12)


def test_gradients_are_derivatives_the_second_ones_too(module, x):
    torch.autograd.gradcheck(module, x)
    torch.autograd.gradgradcheck(module, x)


def test_frozen_parameters_and_inputs_get_none(module, x):
    module.layer.weight.requires_grad_(False)
    module(x.detach()).sum().backward()
    assert module.layer.weight.grad is None
    assert x.grad is None
    assert module.layer.bias.grad.abs().sum() > 0


def test_under_checkpointing_and_called_back_twice(module, x):
    wanted = outputs_and_gradients(module, module, x)
    again = outputs_and_gradients(module, lambda x: checkpoint(module, x, use_reentrant=False), x)
    for one, other in zip(wanted, again, strict=True):
        assert one.equal(other)
    y = module(x).sum()
    first = torch.autograd.grad(y, x, retain_graph=True)[0]
    assert torch.autograd.grad(y, x)[0].equal(first)


def test_a_gradient_that_is_one_number_spread_out(module, x):
    """What `sum().backward()` hands down has a stride of 0."""
    module(x).sum().backward()
    wanted = torch.autograd.grad(module.plainly(x).sum(), x)[0]
    torch.testing.assert_close(x.grad, wanted, rtol=0, atol=1e-12)


def test_mixed_precision():
    torch.manual_seed(0)
    module, x = Channels(), torch.randn(2, 6, 3, 5, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = module(x)
        plain = module.plainly(x)
    assert y.equal(plain)
    (found,) = torch.autograd.grad(y.float().square().sum(), x)
    (wanted,) = torch.autograd.grad(plain.float().square().sum(), x)
    torch.testing.assert_close(found, wanted, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("name", "moved", "peak"), [("se", 8.2, 3.1), ("coord", 23, 3.6), ("cbam", 25, 3.4)]
)
def test_moves_and_holds_little(name, moved, peak):
    x = torch.rand(2, 64, 28, 28, requires_grad=True)
    traffic = count_traffic(foveal.create_attention(name, 64), x, "train")
    assert traffic.bytes_moved <= moved * 4 * x.numel()
    assert traffic.peak_memory <= peak * 4 * x.numel()
