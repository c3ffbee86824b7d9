from math import sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import SGE


def test_is_the_sum_written_by_hand(stirred, tiny):
    sge = stirred(SGE(6, groups=2))
    y = sge(tiny)
    places = [(h, w) for h in range(3) for w in range(4)]
    for b in range(2):
        for g in range(2):
            group = range(3 * g, 3 * g + 3)
            means = [sum(float(tiny[b, c, h, w]) for h, w in places) / 12 for c in group]
            scores = [
                sum(m * float(tiny[b, c, h, w]) for m, c in zip(means, group, strict=True))
                for h, w in places
            ]
            mean = sum(scores) / 12
            deviation = sqrt(sum((s - mean) ** 2 for s in scores) / 11) + 1e-5
            for score, (h, w) in zip(scores, places, strict=True):
                z = torch.tensor((score - mean) / deviation)
                weight = (sge.weight[g] * z + sge.bias[g]).sigmoid()
                torch.testing.assert_close(y[b, group, h, w], tiny[b, group, h, w] * weight)


def test_the_short_backward_pass_has_the_gradients_of_autograd(stirred, tiny):
    sge = stirred(SGE(6, groups=2)).requires_grad_()
    x, pull = tiny.requires_grad_(), torch.randn_like(tiny)
    of = (x, sge.weight, sge.bias)
    found = torch.autograd.grad((sge(x) * pull).sum(), of)
    gates = sge.attention_map(x).repeat_interleave(3, dim=1)
    wanted = torch.autograd.grad((x * gates * pull).sum(), of)
    for ours, autograds in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, autograds)


def test_it_can_be_differentiated_twice(stirred, tiny):
    sge = stirred(SGE(6, groups=2)).requires_grad_()
    x = tiny.requires_grad_()
    assert torch.autograd.gradgradcheck(sge, (x,), fast_mode=True)


def test_is_born_with_bias_one_and_scale_zero():
    x = torch.randn(2, 64, 5, 5)
    torch.testing.assert_close(SGE(64)(x), x * torch.ones(()).sigmoid())


@pytest.mark.parametrize("x", [10 * torch.rand(2, 8, 1, 1), torch.full((2, 8, 4, 4), 0.7)])
def test_a_single_position_or_a_constant_map_has_no_deviation(x):
    sge = SGE(8)
    torch.nn.init.ones_(sge.weight)
    y = sge(x.requires_grad_())
    torch.testing.assert_close(y, x * torch.ones(()).sigmoid(), rtol=1e-2, atol=1e-2)
    y.sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(("channels", "groups"), [(256, 64), (2048, 64), (64, 16), (20, 5), (3, 1)])
def test_groups(channels, groups):
    assert SGE(channels).groups == groups


def test_groups_that_do_not_divide_are_refused():
    with pytest.raises(FovealError, match="groups=5 must divide the channels=64"):
        SGE(64, groups=5)
