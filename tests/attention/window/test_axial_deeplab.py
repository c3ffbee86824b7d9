from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import AxialDeepLab


def norm(layer, x):
    shape = (-1,) + (1,) * (x.ndim - 1)
    x = x - layer.running_mean.view(shape)
    x = x / (layer.running_var + layer.eps).sqrt().view(shape) * layer.weight.view(shape)
    return x if layer.bias is None else x + layer.bias.view(shape)


def attend(layer, line, heads):
    """Position-sensitive attention of one line (C, n), with the table made for its length."""
    c, n = line.shape
    d = c // heads
    qkv = norm(layer.qkv[1], layer.qkv[0].weight[:, :, 0, 0] @ line).view(heads, 2 * d, n)
    q, k, v = qkv[:, : d // 2], qkv[:, d // 2 : d], qkv[:, d:]
    rq, rk, rv = layer.position[: d // 2], layer.position[d // 2 : d], layer.position[d:]
    terms = torch.zeros(3, heads, n, n).double()
    for h in range(heads):
        for i in range(n):
            for j in range(n):
                terms[0, h, i, j] = q[h, :, i] @ k[h, :, j]
                terms[1, h, i, j] = q[h, :, i] @ rq[:, i - j + n - 1]
                terms[2, h, i, j] = k[h, :, j] @ rk[:, j - i + n - 1]
    scores = sum(norm(layer.score_norms[t], terms[t]) for t in range(3))
    values, places = torch.zeros(2, heads, d, n).double()
    for h in range(heads):
        for i in range(n):
            total = sum(exp(s) for s in scores[h, i].tolist())
            for j in range(n):
                weight = exp(scores[h, i, j].item()) / total
                values[h, :, i] += weight * v[h, :, j]
                places[h, :, i] += weight * rv[:, i - j + n - 1]
    return norm(layer.value_norm, values.view(c, n)) + norm(layer.position_norm, places.view(c, n))


def test_is_the_sum_written_by_hand(stirred):
    x = torch.randn(2, 8, 3, 3).double()
    module = stirred(AxialDeepLab(8, num_heads=2, kernel_size=3))
    y = module(x)
    height, width = module.layers
    for b in range(2):
        columns = torch.stack([attend(height, x[b, :, :, j], 2) for j in range(3)], dim=2)
        rows = torch.stack([attend(width, columns[:, i], 2) for i in range(3)], dim=1)
        torch.testing.assert_close(y[b], rows)


@pytest.mark.parametrize("length", [1, 2, 5, 9])
def test_positions_are_stretched_from_end_to_end(length):
    layer = AxialDeepLab(8, kernel_size=5).layers[0]
    table = layer.position
    found = layer._positions(length)
    assert found.shape == (table.shape[0], length, length)
    torch.testing.assert_close(found[:, 0, 0], table[:, 4])  # a position and itself
    if length > 1:
        torch.testing.assert_close(found[:, 0, -1], table[:, 0])
        torch.testing.assert_close(found[:, -1, 0], table[:, -1])
    if length == 5:
        for i in range(5):
            for j in range(5):
                torch.testing.assert_close(found[:, i, j], table[:, i - j + 4])


def test_maps_of_both_layers(stirred, tiny):
    module = stirred(AxialDeepLab(6, num_heads=2))
    columns, rows = module.attention_map(tiny), module.attention_map(tiny, layer=1)
    assert columns.shape == (2 * 4, 2, 3, 3)
    assert rows.shape == (2 * 3, 2, 4, 4)
    torch.testing.assert_close(rows.sum(-1), torch.ones(6, 2, 4).double())


@pytest.mark.parametrize(("channels", "heads"), [(128, 8), (8, 4), (20, 5), (7, 1), (1, 1)])
def test_heads_fit_the_channels(channels, heads):
    assert AxialDeepLab(channels).num_heads == heads


@pytest.mark.parametrize(
    "options", [{"num_heads": 3}, {"kernel_size": 0}, {"axes": ()}, {"axes": ("depth",)}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        AxialDeepLab(16, **options)
