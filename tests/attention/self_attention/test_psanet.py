from math import exp, floor

import pytest
import torch

from foveal import FovealError, attention_info
from foveal.attention import PSANet
from foveal.measure import count_multiply_adds
from foveal.testing import check_attention


def layer(x, conv, norm):
    """A pointwise convolution, normalised by what is known of earlier images, and rectified."""
    y = torch.einsum("oc,chw->ohw", conv.weight[:, :, 0, 0], x)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return ((y - norm.running_mean[:, None, None]) * scale[:, None, None]
            + norm.bias[:, None, None]).relu()  # fmt: skip


def resized(x, height, width):
    """Corner meets corner, and between them straight lines."""
    y = torch.zeros(x.shape[0], height, width, dtype=x.dtype)
    for i in range(height):
        for j in range(width):
            row = i * (x.shape[1] - 1) / max(height - 1, 1)
            column = j * (x.shape[2] - 1) / max(width - 1, 1)
            for a in (floor(row), floor(row) + 1):
                for b in (floor(column), floor(column) + 1):
                    share = max(0, 1 - abs(row - a)) * max(0, 1 - abs(column - b))
                    if share:
                        y[:, i, j] += share * x[:, a, b]
    return y


def gathered(masks, image, shrink, gives):
    z = layer(image, masks.reduce, masks.reduce_norm)
    height, width = ((side - 1) // shrink + 1 for side in z.shape[1:])
    z = resized(z, height, width)
    h = layer(z, masks.adapt, masks.adapt_norm)
    middle = [side // 2 for side in masks.offsets.shape[1:]]
    places = [(i, j) for i in range(height) for j in range(width)]

    def score(speaker, other):
        """What a position says of another, by the offset from it."""
        row, column = (b - a + m for a, b, m in zip(speaker, other, middle, strict=True))
        if not (0 <= row <= 2 * middle[0] and 0 <= column <= 2 * middle[1]):
            return 0.0
        return float(h[:, speaker[0], speaker[1]] @ masks.offsets[:, row, column])

    y = torch.zeros_like(z)
    for i in places:
        e = [exp(score(j, i) if gives else score(i, j)) for j in places]
        y[:, i[0], i[1]] = sum(
            w / sum(e) * z[:, j[0], j[1]] for w, j in zip(e, places, strict=True)
        )
    return y


@pytest.mark.parametrize("mode", ["both", "collect", "distribute"])
@pytest.mark.parametrize(("shrink", "table"), [(1, (3, 4)), (1, 2), (2, (1, 3)), (2, 5)])
def test_is_the_sum_written_by_hand(stirred, tiny, mode, shrink, table):
    """Also where the table reaches less far than the map, or farther."""
    module = stirred(PSANet(6, hidden=3, mode=mode, shrink=shrink, table_size=table))
    y = module(tiny)
    for b in range(2):
        parts = []
        if mode != "distribute":
            parts.append(gathered(module.collect, tiny[b], shrink, gives=False))
        if mode != "collect":
            parts.append(gathered(module.distribute, tiny[b], shrink, gives=True))
        z = layer(torch.cat(parts), module.proj, module.norm)
        torch.testing.assert_close(y[b], tiny[b] + resized(z, 3, 4))


def test_the_maps_of_both_directions(stirred, tiny):
    module = stirred(PSANet(6, hidden=3))
    for distribute in (False, True):
        weights = module.attention_map(tiny, distribute)
        assert weights.shape == (2, 4, 4)
        torch.testing.assert_close(weights.sum(2), torch.ones(2, 4).double())
    assert not module.attention_map(tiny).allclose(weights)
    given = stirred(PSANet(6, hidden=3, mode="distribute"))
    torch.testing.assert_close(given.attention_map(tiny), given.attention_map(tiny, True))


def test_the_mask_of_the_published_models():
    """59 × 59 offsets in 512 channels, for maps of 2048."""
    with torch.device("meta"):
        module = PSANet(2048)
    assert module.collect.offsets.shape == (512, 59, 59)


def test_without_the_sum_it_is_what_the_network_concatenates(stirred, tiny):
    summed, alone = stirred(PSANet(6)), stirred(PSANet(6, residual=False))
    torch.testing.assert_close(tiny + alone(tiny), summed(tiny))


@pytest.mark.parametrize(
    "options", [{}, {"mode": "collect"}, {"mode": "distribute", "shrink": 1}, {"residual": False}]
)
def test_costs_are_stated_for_every_form(options):
    card, module = attention_info("psanet"), PSANet(24, **options).eval()
    stated = card.cost(module, 24, 15, 22)
    assert stated["parameters"] == sum(p.numel() for p in module.parameters())
    counted = count_multiply_adds(module, torch.randn(1, 24, 15, 22))
    assert stated["multiply_adds"] == pytest.approx(counted, rel=0.02)


def test_a_short_table_keeps_the_laws():
    laws = ("shape", "learning", "attention_map", "onnx")
    check_attention("psanet", laws=laws, table_size=2, shrink=1, mode="distribute")


def test_refusals():
    with pytest.raises(FovealError, match="mode='gather'"):
        PSANet(8, mode="gather")
    with pytest.raises(FovealError, match="shrink=0"):
        PSANet(8, shrink=0)
    with pytest.raises(FovealError, match="table_size=0"):
        PSANet(8, table_size=0)
    with pytest.raises(FovealError, match="hidden=0"):
        PSANet(8, hidden=0)
