"""The two counters of FLOPs, against published numbers and against each other."""

from collections import Counter

import pytest
import torch
from torch import nn

from foveal.core.errors import FovealError
from foveal.measure import Operations, count_flops
from foveal.measure.flops import compare_flops

torchvision = pytest.importorskip("torchvision")


@pytest.mark.parametrize(
    ("name", "gmacs"),
    [
        ("resnet18", 1.814),
        ("resnet50", 4.089),
        ("mobilenet_v2", 0.301),  # grouped convolutions
        ("vit_b_16", 17.564),  # attention, which makes 4 % of it
        ("swin_t", 4.491),  # attention written out, in windows
        ("efficientnet_b0", 0.386),
    ],
)
def test_published_numbers(name, gmacs):
    with torch.device("meta"):
        model = torchvision.models.get_model(name)
    found = count_flops(model, torch.empty(1, 3, 224, 224, device="meta"))
    assert round(found.foveal / 2e9, 3) == gmacs
    assert found.agree, found.note
    published = torchvision.models.get_model_weights(name).DEFAULT.meta["_ops"]
    assert published == gmacs


def test_attention_is_a_large_part_at_many_tokens():
    layer = nn.MultiheadAttention(32, 4, batch_first=True).eval()
    x = torch.rand(1, 256, 32)
    found = count_flops(layer, {"query": x, "key": x, "value": x, "need_weights": False})
    assert found.foveal == 2 * (4 * 256 * 32 * 32 + 2 * 256 * 256 * 32)


def test_what_pytorch_does_not_see_is_named():
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.rand(3, 10, 8)
    with torch.no_grad():
        found = count_flops(layer, {"query": x, "key": x, "value": x, "need_weights": False})
    # The layer runs as one fused kernel, for which PyTorch's counter has no formula.
    assert found.torch == 0
    assert found.foveal == 2 * 3 * (4 * 10 * 8 * 8 + 2 * 10 * 10 * 8)
    assert not found.agree
    assert "scaled_dot_product: torch 0, foveal 9600" in found.note


def test_a_module_that_is_handed_a_parameter():
    class Token(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.zeros(1, 1, 4))
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            return x + self.linear(self.token.expand(len(x), -1, -1))

    model = Token()
    assert count_flops(model, torch.rand(2, 3, 4)).agree
    assert model.token.requires_grad


def test_a_recurrent_layer_is_not_free():
    found = count_flops(nn.LSTM(4, 3), torch.rand(5, 2, 4))
    assert found.foveal == 2 * 5 * 2 * 4 * 3 * (4 + 3)


def test_an_operation_that_neither_counts_is_named():
    found = compare_flops(Counter(mm=2), Operations(Counter(mm=1), Counter(mm=1), Counter(fft=3)))
    assert found.agree
    assert found.note == "neither counts fft"


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(8, 6, 3, groups=2), (2, 8, 5, 7)),
        (nn.Conv2d(8, 6, 3, dilation=2), (2, 8, 9, 7)),
        (nn.Conv1d(1, 1, 3), (2, 1, 64)),
        (nn.Conv3d(2, 3, 3), (1, 2, 5, 5, 5)),
        (nn.ConvTranspose2d(8, 6, 4, 2, 1, groups=2), (2, 8, 5, 7)),
        (nn.Linear(5, 7), (2, 3, 5)),
        (nn.TransformerEncoderLayer(8, 2, 16), (5, 2, 8)),
    ],
)
def test_the_counters_agree_on(layer, shape):
    found = count_flops(layer, torch.rand(shape))
    assert found.agree, found.note


def test_a_model_that_cannot_run():
    with pytest.raises(FovealError, match="Linear cannot run on tensor of shape"):
        count_flops(nn.Linear(3, 4), torch.rand(2, 5))
