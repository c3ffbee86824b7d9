from math import exp

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import SCSA
from foveal.testing import check_attention


def sigmoid(score):
    return 1 / (1 + exp(-float(score)))


def strip_gates(module, norm, means):
    """Weights along one axis from its means (C, N), strip by strip."""
    share, scores = means.shape[0] // len(module.strips), torch.zeros_like(means)
    for c in range(means.shape[0]):
        strip, own = module.strips[c // share], c % share
        edge = strip.kernel_size[0] // 2
        for n in range(means.shape[1]):
            scores[c, n] = strip.bias[own] + sum(
                strip.weight[own, 0, j + edge] * means[c, n + j]
                for j in range(-edge, edge + 1)
                if 0 <= n + j < means.shape[1]
            )
    return F.group_norm(scores[None], len(module.strips), norm.weight, norm.bias)[0].sigmoid()


def pooled(image, window, how):
    """One number for each window; windows that the map does not fill are left out."""
    height, width = image.shape[1:]
    window_h, window_w = min(window, height), min(window, width)
    tiles = [
        image[:, h : h + window_h, w : w + window_w].flatten(1)
        for h in range(0, height - window_h + 1, window)
        for w in range(0, width - window_w + 1, window)
    ]
    return torch.stack([tile.mean(1) if how == "avg" else tile.amax(1) for tile in tiles], 1)


@pytest.mark.parametrize("pool", ["avg", "max"])
@pytest.mark.parametrize("size", [(5, 8), (6, 3), (2, 7), (1, 1)])
def test_is_the_sum_written_by_hand(stirred, size, pool):
    module = stirred(SCSA(8, num_heads=2, kernel_size=(3, 5), window_size=3, pool=pool))
    x = torch.randn(2, 8, *size).double()
    y = module(x)
    for image, found in zip(x, y, strict=True):
        rows = strip_gates(module, module.row_norm, image.mean(2))
        columns = strip_gates(module, module.column_norm, image.mean(1))
        gated = image * rows[:, :, None] * columns[:, None]
        tokens = pooled(gated, 3, pool)
        tokens = (tokens - tokens.mean()) / (tokens.var(unbiased=False) + 1e-5).sqrt()
        tokens = tokens * module.scale[:, None] + module.shift[:, None]
        weight = module.qkv.weight.view(8, 3)
        q, k, v = (tokens * weight[:, i, None] for i in range(3))
        for c in range(8):
            head = range(4 * (c // 4), 4 * (c // 4) + 4)
            shares = [exp(float(q[c] @ k[other]) / 2) for other in head]
            taken = sum(
                share / sum(shares) * v[other] for share, other in zip(shares, head, strict=True)
            )
            torch.testing.assert_close(found[c], gated[c] * sigmoid(taken.mean()))


def test_without_a_window_the_whole_map_is_one(stirred):
    x = torch.randn(2, 8, 5, 6).double()
    module = stirred(SCSA(8, window_size=None))
    whole = module(x)
    module.window = 100
    torch.testing.assert_close(module(x), whole)


def test_lengths_adapt_to_the_channels():
    assert [strip.kernel_size[0] for strip in SCSA(64).strips] == [3, 5, 7, 9]
    assert [strip.kernel_size[0] for strip in SCSA(6).strips] == [3, 5, 7]
    assert SCSA(7)(torch.randn(1, 7, 3, 3)).isfinite().all()


def test_other_forms_keep_the_laws():
    check_attention("scsa", laws=("shape", "channels", "cost", "learning"), pool="max")
    check_attention("scsa", laws=("shape", "channels"), window_size=None, gate="softmax")


def test_wrong_options_are_refused():
    for options, message in (
        ({"kernel_size": (3, 4)}, "must be odd lengths"),
        ({"kernel_size": (3, 5, 7)}, "as many as divide channels=8"),
        ({"gate": "relu"}, "gate='relu'"),
        ({"pool": "max", "window_size": None}, "with a window_size"),
        ({"window_size": 0}, "window_size=0"),
        ({"num_heads": 3}, "num_heads=3"),
    ):
        with pytest.raises(FovealError, match=message):
            SCSA(8, **options)
