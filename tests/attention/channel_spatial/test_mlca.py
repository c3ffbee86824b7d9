from math import ceil, floor

import pytest
import torch

from foveal import FovealError
from foveal.attention import MLCA


def bins(size, number):
    return [range(floor(i * size / number), ceil((i + 1) * size / number)) for i in range(number)]


def test_is_the_sum_written_by_hand(stirred, tiny):
    """With a grid finer than the map's rows and coarser than its columns."""
    mlca = stirred(MLCA(6, local_size=5, kernel_size=3, local_weight=0.3))
    y = mlca(tiny)

    def convolved(conv, row):
        padded, taps = [0.0, *row, 0.0], conv.weight.flatten().tolist()
        return [sum(taps[j] * padded[i + j] for j in range(3)) for i in range(len(row))]

    def sigmoid(value):
        return float(torch.tensor(value).double().sigmoid())

    def mean(values):
        return sum(values) / len(values)

    for b in range(2):
        x = tiny[b].tolist()
        cells = [(rows, columns) for rows in bins(3, 5) for columns in bins(4, 5)]
        means = [
            [mean([x[c][h][w] for h in rows for w in columns]) for c in range(6)]
            for rows, columns in cells
        ]
        local = convolved(mlca.of_cells, [value for cell in means for value in cell])
        whole = convolved(mlca.of_map, [mean([cell[c] for cell in means]) for c in range(6)])
        mixed = [
            [0.3 * sigmoid(local[6 * i + c]) + 0.7 * sigmoid(whole[c]) for c in range(6)]
            for i in range(25)
        ]
        for h, rows in enumerate(bins(5, 3)):
            for w, columns in enumerate(bins(5, 4)):
                for c in range(6):
                    weight = mean([mixed[5 * i + j][c] for i in rows for j in columns])
                    torch.testing.assert_close(y[b, c, h, w], tiny[b, c, h, w] * weight)


def test_the_kernel_follows_ecas_rule():
    assert [MLCA(channels).kernel_size for channels in (8, 64, 256, 512)] == [3, 3, 5, 5]


@pytest.mark.parametrize("options", [{"kernel_size": 4}, {"local_size": 0}, {"local_weight": 1.5}])
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        MLCA(8, **options)
