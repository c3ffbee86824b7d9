"""The small parts that mechanisms share."""

import pytest
import torch
from torch import nn

from foveal.core.errors import FovealError
from foveal.ops.activation import activation
from foveal.ops.norm import BatchNorm1d, BatchNorm2d
from foveal.ops.pool import max_and_mean
from foveal.ops.width import hidden_width


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_max_and_mean_pool_one_axis(dim):
    x = torch.randn(2, 3, 4, 5)
    pooled = max_and_mean(x, dim)
    torch.testing.assert_close(pooled[:, 0], x.max(dim).values)
    torch.testing.assert_close(pooled[:, 1], x.sum(dim) / x.shape[dim])


def test_values_that_share_the_maximum_share_its_gradient():
    x = torch.tensor([1.0, 3.0, 3.0, 2.0]).view(1, 4, 1, 1).requires_grad_()
    max_and_mean(x, 1)[:, 0].sum().backward()
    assert x.grad.flatten().tolist() == [0, 0.5, 0.5, 0]


def test_width_rules():
    assert hidden_width(64, 16) == 4
    assert hidden_width(8, 16) == 1
    assert hidden_width(8, 16, least=8) == 8
    assert hidden_width(8, 16, least=8, hidden=3) == 3
    for wrong in ({"reduction": 0}, {"reduction": 4, "hidden": 0}):
        with pytest.raises(FovealError):
            hidden_width(8, **wrong)


def test_activations_by_name():
    x = torch.linspace(-4, 4, 9)
    torch.testing.assert_close(activation("hard_sigmoid")(x), ((x + 3) / 6).clamp(0, 1))
    torch.testing.assert_close(activation("silu")(x), x / (1 + torch.exp(-x)))
    torch.testing.assert_close(activation("quick_gelu")(x), x / (1 + torch.exp(-1.702 * x)))
    torch.testing.assert_close(activation("hard_mish")(x), x * (x + 2).clamp(0, 2) / 2)
    with pytest.raises(FovealError, match="did you mean relu"):
        activation("rellu")


@pytest.mark.parametrize(
    ("ours", "theirs", "one", "many"),
    [
        (BatchNorm1d, nn.BatchNorm1d, (1, 4), (3, 4)),
        (BatchNorm2d, nn.BatchNorm2d, (1, 4, 1, 1), (1, 4, 2, 1)),
    ],
)
def test_batch_norm_trains_on_one_value_per_channel(ours, theirs, one, many):
    norm, reference = ours(4), theirs(4)
    with torch.no_grad():
        norm.running_mean.fill_(2.0)
        reference.running_mean.fill_(2.0)
    x = torch.randn(one)
    torch.testing.assert_close(norm.train()(x), reference.eval()(x))
    assert norm.running_mean.eq(2).all(), "one value says nothing of the statistics"
    x = torch.randn(many)
    torch.testing.assert_close(norm(x), reference.train()(x))
    torch.testing.assert_close(norm.running_mean, reference.running_mean)
