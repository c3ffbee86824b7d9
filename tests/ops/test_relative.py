from math import log2

import pytest
import torch

from foveal import FovealError
from foveal.ops.relative import (
    DynamicBias,
    LogSpacedBias,
    RelativeBias,
    bias_of_pairs,
    resize_table,
    window_offsets,
)


@pytest.mark.parametrize("window", [(1, 1), (2, 2), (3, 4), (4, 1)])
def test_each_pair_has_the_row_of_its_relative_position(window):
    h, w = window
    table = torch.randn((2 * h - 1) * (2 * w - 1), 3)
    bias = bias_of_pairs(table, window)
    rows = {tuple(offset): row for offset, row in zip(_offsets(window), table, strict=True)}
    for i in range(h * w):
        for j in range(h * w):
            offset = (i // w - j // w, i % w - j % w)
            assert torch.equal(bias[:, i, j], rows[offset])


def _offsets(window):
    h, w = window
    return [(r, c) for r in range(1 - h, h) for c in range(1 - w, w)]


def test_offsets_are_in_the_tables_order():
    offsets = window_offsets((3, 4), torch.zeros(1))
    assert offsets.tolist() == [[r, c] for r, c in _offsets((3, 4))]


def test_a_table_of_another_window_is_refused():
    with pytest.raises(FovealError, match="9 relative positions does not fit"):
        bias_of_pairs(torch.zeros(9, 2), (3, 3))


def test_resizing_keeps_corners_centre_and_constants():
    table = torch.randn(35, 2)
    assert resize_table(table, (3, 4), (3, 4)) is table
    small, large = table.view(5, 7, 2), resize_table(table, (3, 4), (5, 7)).view(9, 13, 2)
    for row, new_row in (0, 0), (2, 4), (4, 8):
        for column, new_column in (0, 0), (3, 6), (6, 12):
            torch.testing.assert_close(small[row, column], large[new_row, new_column])
    torch.testing.assert_close(resize_table(torch.ones(9, 1), (2, 2), (4, 3)), torch.ones(35, 1))


def test_learned_bias_reaches_its_table_once_for_each_pair():
    bias = RelativeBias(2, (2, 3))
    bias().sum().backward()
    wanted = [(2 - abs(r)) * (3 - abs(c)) for r, c in _offsets((2, 3))]
    assert bias.table.grad[:, 0].tolist() == wanted
    assert 0 < bias.table.abs().max() < 0.2


@pytest.mark.parametrize(("trained", "sides"), [(None, (2, 3)), ((8, 8), (7, 7))])
def test_log_spaced_coordinates_are_the_papers(trained, sides):
    bias = LogSpacedBias(2, (3, 4), trained, hidden=5)
    found = bias.coordinates(torch.zeros(1)).tolist()
    for offset, coordinates in zip(_offsets((3, 4)), found, strict=True):
        for step, side, value in zip(offset, sides, coordinates, strict=True):
            size = log2(1 + abs(8 * step / side)) / log2(8)
            assert value == pytest.approx(size if step > 0 else -size, abs=1e-6)


def test_log_spaced_bias_lies_between_0_and_16():
    bias = LogSpacedBias(4, (3, 3)).requires_grad_(False)
    bias.mlp[2].weight *= 100
    values = bias()
    assert values.shape == (4, 9, 9)
    assert values.min() >= 0
    assert values.max() <= 16
    assert values.std() > 1
    assert LogSpacedBias(1, (1, 1))().shape == (1, 1, 1)  # no distance to divide by


@pytest.mark.parametrize("residual", [False, True])
def test_dynamic_bias_is_the_network_on_each_offset(residual):
    bias = DynamicBias(2, (2, 3), hidden=4, residual=residual).double()
    values = bias()
    for i in range(6):
        for j in range(6):
            offset = torch.tensor([i // 3 - j // 3, i % 3 - j % 3]).double()
            x = bias.first(offset)
            for layer in bias.layers[:2]:
                x = x + layer(x) if residual else layer(x)
            torch.testing.assert_close(values[:, i, j], bias.layers[2](x))


def test_on_any_device_and_type():
    for kind in RelativeBias, LogSpacedBias:
        assert kind(2, (2, 2)).to("meta")().device.type == "meta"
        assert kind(2, (2, 2)).half()().dtype == torch.float16
    assert DynamicBias(2, (2, 2), 4).bfloat16()().dtype == torch.bfloat16
