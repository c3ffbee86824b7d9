from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import MSCAM


def bottleneck(layers, vector):
    """In loops: twice a product, less the mean over the deviation."""
    for conv, norm in ((layers[0], layers[1]), (layers[3], layers[4])):
        weights = conv.weight[:, :, 0, 0]
        sums = [sum(float(w * v) for w, v in zip(row, vector, strict=True)) for row in weights]
        vector = [
            (s - float(m)) / sqrt(float(v) + norm.eps) * float(w) + float(b)
            for s, m, v, w, b in zip(
                sums, norm.running_mean, norm.running_var, norm.weight, norm.bias, strict=True
            )
        ]
        if norm is layers[1]:
            vector = [max(0.0, value) for value in vector]
    return vector


def gate_by_hand(module, x):
    """The weights of one picture (C, H, W)."""
    channels, height, width = x.shape
    weights = torch.zeros_like(x)
    whole = bottleneck(module.global_scale, x.mean((1, 2)))
    for i in range(height):
        for j in range(width):
            here = bottleneck(module.local_scale, x[:, i, j])
            for c in range(channels):
                weights[c, i, j] = 1 / (1 + exp(-here[c] - whole[c]))
    return weights


def test_is_the_sum_written_by_hand(stirred, tiny):
    module = stirred(MSCAM(6, reduction=2))
    y = module(tiny)
    for b in range(2):
        torch.testing.assert_close(y[b], tiny[b] * gate_by_hand(module, tiny[b]))


def test_trains_on_one_picture():
    module = MSCAM(8).train()
    assert module(torch.rand(1, 8, 4, 5)).isfinite().all()


def test_the_width_is_the_papers():
    assert MSCAM(64).hidden == 16
    assert MSCAM(2).hidden == 1
    with pytest.raises(FovealError, match="reduction=0"):
        MSCAM(8, reduction=0)
