"""Pyramid filters and wavelet bands against sums written by hand."""

from math import sqrt

import pytest
import torch

from foveal.ops.pyramid import BINOMIAL, binomial_kernel, expand, reduce
from foveal.ops.wavelet import LOW_PASS, analyse, synthesise, wavelet_kernels

SIZES = [(1, 1), (1, 5), (2, 3), (7, 8), (6, 9)]


def clamped(x, row, column):
    """The value at a position, or at the edge nearest to it."""
    height, width = len(x), len(x[0])
    return x[min(max(row, 0), height - 1)][min(max(column, 0), width - 1)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_reduce_by_hand(height, width):
    x = torch.randn(height, width, dtype=torch.float64)
    y = reduce(x[None, None], binomial_kernel().double())[0, 0]
    assert y.shape == ((height + 1) // 2, (width + 1) // 2)
    rows = x.tolist()
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            wanted = sum(
                BINOMIAL[m + 2] * BINOMIAL[n + 2] * clamped(rows, 2 * i + m, 2 * j + n)
                for m in range(-2, 3)
                for n in range(-2, 3)
            )
            assert y[i, j].item() == pytest.approx(wanted)


def drawn_out(x, place):
    """One value of a row drawn out: at an even place three neighbours, at an odd one two."""
    i = place // 2
    if place % 2:
        return (clamped([x], 0, i) + clamped([x], 0, i + 1)) / 2
    return (clamped([x], 0, i - 1) + 6 * x[i] + clamped([x], 0, i + 1)) / 8


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_expand_by_hand(height, width):
    x = torch.randn((height + 1) // 2, (width + 1) // 2, dtype=torch.float64)
    y = expand(x[None, None], binomial_kernel().double(), height, width)[0, 0]
    assert y.shape == (height, width)
    columns = [[drawn_out(row, j) for j in range(width)] for row in x.tolist()]
    for j in range(width):
        column = [row[j] for row in columns]
        for i in range(height):
            assert y[i, j].item() == pytest.approx(drawn_out(column, i))


def test_haar_by_hand():
    x = torch.tensor([[1.0, 2.0], [3.0, 5.0]])[None, None]
    bands = [band.item() for band in analyse(x, wavelet_kernels("haar"))]
    assert bands == pytest.approx([(1 + 2 + 3 + 5) / 2, -1.5, -2.5, (1 - 2 - 3 + 5) / 2])


def test_db2_by_hand():
    """One row of a map whose rows are all the same, which the low-pass of the rows scales by √2."""
    row = [1.0, -2.0, 0.5, 3.0, 4.0, -1.0]
    x = torch.tensor(row, dtype=torch.float64).expand(1, 1, 4, 6)
    means, changes, *rest = analyse(x, wavelet_kernels("db2").double())
    low = LOW_PASS["db2"]
    high = [low[3], -low[2], low[1], -low[0]]
    for i in range(3):
        beyond = [row[(2 * i + k) % 6] for k in range(4)]
        for band, taps in ((means, low), (changes, high)):
            wanted = sqrt(2) * sum(t * v for t, v in zip(taps, beyond, strict=True))
            assert band[0, 0, :, i].tolist() == pytest.approx([wanted] * 2, abs=1e-6)
    assert torch.stack(rest).abs().max() < 1e-6


@pytest.mark.parametrize("wavelet", list(LOW_PASS))
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_bands_hold_all_of_the_map(wavelet, height, width):
    kernels = wavelet_kernels(wavelet)
    x = torch.randn(2, 3, height, width)
    bands = analyse(x, kernels)
    assert torch.allclose(synthesise(bands, kernels, height, width), x, atol=1e-5)
    alone = [
        synthesise([b if j == i else None for j, b in enumerate(bands)], kernels, height, width)
        for i in range(4)
    ]
    assert torch.allclose(sum(alone), x, atol=1e-5)
    if height % 2 == 0 and width % 2 == 0:  # orthonormal: no energy comes or goes
        energy = sum(band.square().sum() for band in bands)
        assert energy.item() == pytest.approx(x.square().sum().item(), rel=1e-5)


@pytest.mark.parametrize("wavelet", list(LOW_PASS))
def test_filters_are_orthonormal(wavelet):
    kernels = wavelet_kernels(wavelet).flatten(1)
    assert torch.allclose(kernels @ kernels.mT, torch.eye(4), atol=1e-6)
    low = torch.tensor(LOW_PASS[wavelet])
    assert low.sum().item() == pytest.approx(sqrt(2))
    shifted = low[2:] @ low[:-2] if len(low) > 2 else torch.zeros(())
    assert shifted.item() == pytest.approx(0, abs=1e-6)
