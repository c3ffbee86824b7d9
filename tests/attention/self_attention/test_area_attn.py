from math import exp, sqrt

import pytest
import torch
import torch.nn.functional as F

from foveal import FovealError, attention_info
from foveal.attention import AreaAttention
from foveal.measure import count_multiply_adds


def normalised(layer, x):
    shape = (-1,) + (1,) * (x.ndim - 1)
    x = (x - layer.running_mean.view(shape)) / (layer.running_var + layer.eps).sqrt().view(shape)
    return x * layer.weight.view(shape) + layer.bias.view(shape)


@pytest.mark.parametrize(("size", "areas"), [((4, 3), 4), ((3, 4), 2), ((3, 3), 4), ((1, 1), 4)])
def test_is_the_sum_written_by_hand(stirred, size, areas):
    """Positions count row by row; each area is the next so many, the last perhaps fewer."""
    module = stirred(AreaAttention(6, 2, areas, kernel_size=3))
    (height, width), positions = size, size[0] * size[1]
    each = -(-positions // areas)
    images = torch.randn(2, 6, *size).double()
    y = module(images)
    for b in range(2):
        conv, norm = module.qkv
        qkv = normalised(norm, conv.weight[:, :, 0, 0] @ images[b].flatten(1))
        q, k, v = qkv.view(3, 6, positions)
        attended = torch.zeros(6, positions).double()
        for n in range(positions):
            area = range(n // each * each, min(n // each * each + each, positions))
            for head in (slice(0, 3), slice(3, 6)):
                e = [exp(float(q[head, n] @ k[head, m]) / sqrt(3)) for m in area]
                attended[head, n] = sum(
                    w / sum(e) * v[head, m] for w, m in zip(e, area, strict=True)
                )
        conv, norm = module.position
        near, padded = torch.zeros(6, *size).double(), F.pad(v.view(6, *size), (1, 1, 1, 1))
        for i in range(height):
            for j in range(width):
                taps = padded[:, i : i + 3, j : j + 3]
                near[:, i, j] = (conv.weight[:, 0] * taps).sum((1, 2))
        conv, norm = module.proj
        out = attended + normalised(module.position[1], near).flatten(1)
        wanted = normalised(norm, conv.weight[:, :, 0, 0] @ out)
        torch.testing.assert_close(y[b].flatten(1), wanted)


def test_padding_gets_no_weight(stirred):
    module = stirred(AreaAttention(8, areas=4))
    weights = module.attention_map(torch.randn(2, 8, 3, 3).double())  # areas of 3, 3, 3 and none
    assert weights.shape == (2, 4, 1, 3, 3)
    weights = module.attention_map(torch.randn(2, 8, 5, 2).double())  # of 3, 3, 3 and 1
    assert (weights[:, 3, :, :, 1:] == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 1, 3).double())


@pytest.mark.parametrize("size", [(8, 8), (7, 7), (9, 10)])
@pytest.mark.parametrize("areas", [1, 4])
def test_costs_are_stated_for_every_size(size, areas):
    card, module = attention_info("area_attn"), AreaAttention(64, areas=areas).eval()
    stated = card.cost(module, 64, *size)
    counted = count_multiply_adds(module, torch.randn(1, 64, *size))
    assert stated["multiply_adds"] == pytest.approx(counted, rel=0.02)


def test_refusals():
    for options in ({"num_heads": 5}, {"areas": 0}, {"kernel_size": 4}):
        name, value = next(iter(options.items()))
        with pytest.raises(FovealError, match=f"{name}={value}"):
            AreaAttention(8, **options)
