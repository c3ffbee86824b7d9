from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import EfficientMultiScaleAttention
from foveal.measure import count_traffic


def sigmoid(score):
    return 1 / (1 + exp(-float(score)))


def convolved(conv, image):
    """3 × 3 with zeros around, tap by tap."""
    height, width = image.shape[1:]
    out = conv.bias[:, None, None].expand(-1, height, width).clone()
    for h in range(height):
        for w in range(width):
            for i in (-1, 0, 1):
                for j in (-1, 0, 1):
                    if 0 <= h + i < height and 0 <= w + j < width:
                        out[:, h, w] += conv.weight[:, :, i + 1, j + 1] @ image[:, h + i, w + j]
    return out


@pytest.mark.parametrize("size", [(3, 4), (1, 4), (3, 1), (1, 1)])
def test_is_the_sum_written_by_hand(stirred, size):
    module = stirred(EfficientMultiScaleAttention(6, groups=2))
    x = torch.randn(2, 6, *size).double()
    y, height, width = module(x), *size
    for b in range(2):
        for g in (slice(0, 3), slice(3, 6)):
            image = x[b, g]
            weight, bias = module.strips.weight[..., 0], module.strips.bias
            u = image.clone()
            for h in range(height):
                for w in range(width):
                    row = weight @ image[:, h].mean(1) + bias
                    column = weight @ image[:, :, w].mean(1) + bias
                    for c in range(3):
                        u[c, h, w] = image[c, h, w] * sigmoid(row[c]) * sigmoid(column[c])
            for c in range(3):
                u[c] = (u[c] - u[c].mean()) / (u[c].var(unbiased=False) + 1e-5).sqrt()
                u[c] = u[c] * module.scale[c] + module.shift[c]
            v = convolved(module.conv, image)
            scores = torch.einsum("c,chw->hw", u.mean((1, 2)).softmax(0), v)
            scores += torch.einsum("c,chw->hw", v.mean((1, 2)).softmax(0), u)
            torch.testing.assert_close(y[b, g], image * scores.sigmoid())


def test_groups_share_the_weights():
    """The authors' 32 groups, of at least two channels."""
    assert EfficientMultiScaleAttention(256).groups == 32
    assert EfficientMultiScaleAttention(80).groups == 20
    assert EfficientMultiScaleAttention(8).groups == 4
    assert EfficientMultiScaleAttention(7).groups == 1
    assert sum(p.numel() for p in EfficientMultiScaleAttention(256).parameters()) == 10 * 64 + 32


def test_what_it_moves():
    x = torch.randn(8, 256, 28, 28)
    moved = count_traffic(EfficientMultiScaleAttention(256, 8).eval(), x, "infer").bytes_moved
    assert moved < 15 * x.numel() * x.element_size()


def test_groups_that_do_not_fit_are_refused():
    with pytest.raises(FovealError, match="groups=32 must divide channels=80"):
        EfficientMultiScaleAttention(80, 32)
