"""Bytes moved and memory held, against sums done by hand. Units: bytes of the input."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.measure import count_traffic

N = 4 * 8 * 16 * 16


class Do(nn.Module):
    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, x: Tensor) -> Tensor:
        return self.what(x)


def put(x, values, accumulate):
    """Two images of the four, by their numbers."""
    return x.index_put_((torch.tensor([2, 0]),), values, accumulate)


def in_x(what, mode="infer"):
    x = torch.rand(4, 8, 16, 16, requires_grad=mode == "train")
    found = count_traffic(Do(what), x, mode)
    return tuple(n / (4 * N) for n in (found.bytes_moved, found.peak_memory, found.saved))


@pytest.mark.parametrize(
    ("what", "moved", "peak"),
    [
        (lambda x: x * 2, 2, 1),
        (lambda x: x + x, 2, 1),  # one tensor, read once
        (lambda x: x.permute(0, 2, 3, 1)[:, 1:].unflatten(1, (3, 5)), 0, 0),  # views
        (lambda x: x.contiguous(), 0, 0),
        (lambda x: x.permute(0, 2, 3, 1).contiguous(), 2, 1),
        (lambda x: x[:, :4].clone(), 1, 0.5),
        (lambda x: x.sum(0, keepdim=True).expand_as(x) + x, 1 + 0.25 + 0.25 + 2, 1.25),
        (lambda x: torch.cat((x, x), 1), 3, 2),
        (lambda x: x.relu().relu_(), 4, 1),
        (lambda x: x.relu().relu().relu(), 6, 2),  # the first is freed before the third
        (lambda x: F.conv2d(x, torch.ones(8, 1, 1, 1), groups=8), 2 + 2 * 8 / N, 1 + 8 / N),
        (lambda x: torch.empty_like(x), 0, 1),
        (lambda x: torch.zeros_like(x), 1, 1),
        (lambda x: torch.empty_like(x).copy_(x), 2, 1),
        (lambda x: put(torch.empty_like(x), x[:2], accumulate=False), 1, 1 + 4 / N),
        (lambda x: put(torch.empty_like(x), x[:2], accumulate=True), 1.5, 1 + 4 / N),
        (lambda x: x[0, 0, 0][torch.zeros(3, dtype=torch.long)], (3 + 3 + 6 + 6) / N, 9 / N),
    ],
)
def test_by_hand(what, moved, peak):
    found = in_x(what)
    assert found[0] == pytest.approx(moved, rel=1e-2)
    assert found[1] == pytest.approx(peak, rel=1e-2)
    assert found[2] == 0


def test_a_mean_reads_its_input():
    moved, peak, _ = in_x(lambda x: x.mean((2, 3)))
    assert moved == pytest.approx(1, abs=0.01)
    assert peak < 0.01


def test_training_pass_by_hand():
    # forward 2 (read x, write y), ones 1, backward 3 (read y or x and gradient, write gradient)
    assert in_x(lambda x: x.exp(), "train") == (6, 3, 1)


def test_layer_keeps_its_input():
    layer = nn.Conv2d(8, 8, 1, bias=False)
    x = torch.rand(4, 8, 16, 16)
    assert count_traffic(layer, x, "train").saved == 4 * N
    assert count_traffic(layer, x, "infer").saved == 0


class SimAM(nn.Module):
    """As its authors publish it; the figures below were counted by another program."""

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[2] * x.shape[3] - 1
        square = (x - x.mean((2, 3), keepdim=True)).pow(2)
        y = square / (4 * (square.sum((2, 3), keepdim=True) / n + 1e-4)) + 0.5
        return x * torch.sigmoid(y)


@pytest.mark.parametrize(
    ("mode", "kernels", "moved", "peak", "saved"),
    [("infer", 11, 15.0, 4.0, 0), ("train", 31, 56.0, 10.0, 4.0)],
)
def test_a_known_mechanism(mode, kernels, moved, peak, saved):
    x = torch.empty(8, 256, 56, 56, device="meta", requires_grad=mode == "train")
    found = count_traffic(SimAM(), x, mode)
    size = x.numel() * 4
    assert found.kernels == kernels
    assert found.bytes_moved / size == pytest.approx(moved, abs=0.02)
    assert found.peak_memory / size == pytest.approx(peak, abs=0.02)
    assert found.saved / size == pytest.approx(saved, abs=0.02)


@pytest.mark.parametrize("mode", ["infer", "train"])
def test_a_second_time_agrees_and_the_meta_device_nearly(mode):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
    model.append(nn.Linear(8 * 36, 5))
    x = torch.rand(4, 3, 8, 8)
    first = count_traffic(model, x, mode)
    assert count_traffic(model, x, mode) == first
    # On the CPU batch norm gives no statistics in evaluation mode; on meta it seems to.
    on_meta = count_traffic(model.to("meta"), x.to("meta"), mode)
    assert on_meta.kernels == first.kernels
    assert on_meta.bytes_moved == pytest.approx(first.bytes_moved, rel=0.01)
    assert on_meta.peak_memory == pytest.approx(first.peak_memory, rel=0.01)


def test_nothing_of_the_model_is_changed():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout())
    gradient = torch.ones_like(model[0].weight)
    model[0].weight.grad = gradient
    model[2].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.rand(4, 3, 8, 8, requires_grad=True)
    generator = torch.get_rng_state()
    count_traffic(model, x, "train")
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model] == [True, True, False]
    assert model[0].weight.grad is gradient
    assert model[0].bias.grad is None
    assert x.grad is None


def test_what_cannot_be_done_is_said():
    with pytest.raises(FovealError, match="mode='both' must be"):
        count_traffic(nn.ReLU(), torch.rand(3), "both")  # pyright: ignore[reportArgumentType]
    with pytest.raises(FovealError, match="nothing to train"):
        count_traffic(nn.ReLU(), torch.rand(3), "train")
