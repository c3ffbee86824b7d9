import json

import pytest
import torch
from torch import nn

import foveal
from foveal.measure import count_traffic, environment, measure, parameter_count


def model():
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())


def test_a_measurement_is_whole_and_plain():
    bare = model()
    with_attention = nn.Sequential(bare, foveal.create_attention("eca", 8))
    x = torch.rand(2, 3, 10, 10)
    found = measure(with_attention, x, baseline=bare, seconds=0.05)
    assert found.parameters == 3 * 8 * 9 + 16 + 3
    assert found.trainable == found.parameters
    assert found.flops.foveal == 2 * (27 * 1600 + 3 * 16)
    assert found.flops.agree
    assert found.multiply_adds == 27 * 1600 + 1600 + 2 * 1600 + 3 * 16
    assert found.uncounted == ()
    assert found.peak_memory >= 2 * 4 * 1600
    assert found.training is not None
    assert found.training.bytes_moved > found.bytes_moved
    assert found.latency is not None
    assert found.latency.ratio is not None
    data = json.loads(json.dumps(found.as_dict()))
    assert data["input"] == "tensor of shape (2, 3, 10, 10)"
    assert data["environment"]["torch"] == torch.__version__
    assert data["flops"]["agree"] is True


def test_a_frozen_model_has_no_training_pass():
    frozen = model().requires_grad_(False)
    found = measure(frozen, torch.rand(1, 3, 8, 8), latency=False)
    assert found.training is None
    assert found.trainable == 0
    assert found.latency is None


def test_batch_norm_that_cannot_train_on_one_value_still_has_its_other_numbers():
    found = measure(nn.Sequential(nn.BatchNorm1d(3)), torch.rand(1, 3), latency=False)
    assert found.training is None
    assert found.multiply_adds == 3


def test_bad_input_is_refused_with_the_models_words():
    with pytest.raises(foveal.FovealError, match=r"shape \(1, 4, 8, 8\).*expected.*3 channels"):
        measure(model(), torch.rand(1, 4, 8, 8))


def test_what_is_no_input_is_refused():
    with pytest.raises(foveal.FovealError, match="example_input=None must be a tensor"):
        measure(model(), None)  # pyright: ignore[reportArgumentType]


def test_lazy_models_are_refused_and_stay_lazy():
    lazy = nn.LazyConv2d(3, 3)
    with pytest.raises(foveal.FovealError, match="lazy"):
        measure(lazy, torch.rand(1, 3, 8, 8))
    assert lazy.has_uninitialized_params()


class NoWayBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, *gradients):
        raise NotImplementedError("forward only")


def test_a_model_that_runs_and_cannot_train():
    class Head(nn.Linear):
        def forward(self, input):
            return NoWayBack.apply(super().forward(input))

    head = Head(3, 3)
    found = measure(head, torch.rand(2, 3), latency=False)
    assert found.training is None
    assert found.multiply_adds == 18
    with pytest.raises(foveal.FovealError, match=r"Head cannot be trained.*forward only"):
        count_traffic(head, torch.rand(2, 3), "train")
    assert head.weight.grad is None


def test_shared_parameters_count_once():
    linear = nn.Linear(3, 3)
    assert parameter_count(nn.Sequential(linear, linear)) == 12


def test_environment_is_plain_data_and_says_where():
    found = json.loads(json.dumps(environment()))
    assert {"python", "torch", "os", "machine", "cpu", "cores", "threads", "gpu", "foveal"} <= set(
        found
    )
    assert found["cores"] >= 1
    assert found["libraries"]["einops"]
