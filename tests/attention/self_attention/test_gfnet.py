from cmath import exp, pi

import pytest
import torch

from foveal import FovealError, attention_info
from foveal.attention import GFNet
from foveal.measure import count_multiply_adds

SIZES = [(3, 4), (4, 5), (1, 1), (2, 1), (1, 6), (7, 7)]


def transform_by_hand(image):
    """The whole spectrum of one channel, one frequency and one position at a time."""
    h, w = image.shape
    return [
        [
            sum(
                float(image[i, j]) * exp(-2j * pi * (u * i / h + v * j / w))
                for i in range(h)
                for j in range(w)
            )
            for v in range(w)
        ]
        for u in range(h)
    ]


@pytest.mark.parametrize("size", [(3, 4), (2, 5), (1, 1)])
def test_is_the_sum_written_by_hand(stirred, size):
    h, w = size
    module = stirred(GFNet(2, table_size=size))
    x = torch.randn(1, 2, h, w).double()
    y = module(x)
    for c in range(2):
        spectrum = transform_by_hand(x[0, c])
        for u in range(h):
            for v in range(w // 2 + 1):
                spectrum[u][v] *= complex(*module.weight[:, c, u, v])
        for i in range(h):
            for j in range(w):
                total = 0.0
                for u in range(h):
                    for v in range(w // 2 + 1):
                        term = spectrum[u][v] * exp(2j * pi * (u * i / h + v * j / w))
                        mirrored = v and 2 * v != w  # its mirror image adds as much again
                        total += (2 if mirrored else 1) * term.real
                assert y[0, c, i, j].item() == pytest.approx(total / (h * w))


@pytest.mark.parametrize("size", SIZES)
def test_products_give_what_the_fast_transform_gives(stirred, size):
    module = stirred(GFNet(3, table_size=(4, 6)))
    x = torch.randn(2, 3, *size).double()
    real, imaginary = module.attention_map(x)
    torch.testing.assert_close(
        module._by_products(x, real, imaginary), module._fast(x, real, imaginary)
    )


def test_a_filter_of_another_size_keeps_mirror_images_and_ends(stirred):
    module = stirred(GFNet(1, table_size=8))
    with torch.no_grad():  # frequencies u and 8 − u alike, as those of an even filter are
        module.weight[0] = (torch.arange(8) - 4).abs()[:, None] + torch.arange(5.0) * 10
    for side in (5, 8, 12):
        gain = module.attention_map(torch.zeros(1, 1, side, side).double())[0, 0]
        torch.testing.assert_close(gain[1:], gain[1:].flip(0))
        torch.testing.assert_close(gain[0, [0, -1]], torch.tensor([4.0, 44.0]).double())


def test_a_filter_of_ones_is_an_identity():
    module = GFNet(3, table_size=4)
    with torch.no_grad():
        module.weight[0], module.weight[1] = 1, 0
    for size in SIZES:
        x = torch.randn(2, 3, *size)
        torch.testing.assert_close(module(x), x)


@pytest.mark.parametrize("size", [(14, 14), (9, 10), (14, 15)])
def test_costs_are_stated_for_every_size(size):
    card, module = attention_info("gfnet"), GFNet(24).eval()
    stated = card.cost(module, 24, *size)
    assert stated["parameters"] == sum(p.numel() for p in module.parameters())
    counted = count_multiply_adds(module, torch.randn(1, 24, *size))
    assert stated["multiply_adds"] == pytest.approx(counted, rel=0.02)


def test_refusal():
    with pytest.raises(FovealError, match="table_size=0"):
        GFNet(8, table_size=0)
