import pytest
import torch

from foveal.ops.relative_map import offset_vectors, with_positions


@pytest.mark.parametrize("side", [1, 2, 5])
def test_a_table_of_the_right_length_is_read_as_it_is(side):
    table = torch.randn(2 * side - 1, 3).double()
    vectors = offset_vectors(table, side)
    for i in range(side):
        for j in range(side):
            assert torch.equal(vectors[i, j], table[j - i + side - 1])


def test_another_length_keeps_the_middle_and_the_order():
    table = torch.arange(-4.0, 5.0)[:, None]
    for side in (1, 3, 9):
        line = offset_vectors(table, side)[0, :, 0]
        assert line[0] == 0
        assert (line.diff() > 0).all()


def test_products_are_those_of_all_pairs():
    q, k = torch.randn(2, 3, 12, 4).double(), torch.randn(2, 3, 12, 4).double()
    rows, columns = torch.randn(3, 3, 4).double(), torch.randn(4, 4, 4).double()
    longer_q, longer_k = with_positions(q, k, 2 * q, rows, columns)
    wanted = q @ k.mT
    for n in range(12):
        for m in range(12):
            vector = rows[n // 4, m // 4] + columns[n % 4, m % 4]
            wanted[:, :, n, m] += 2 * q[:, :, n] @ vector
    torch.testing.assert_close(longer_q @ longer_k.mT, wanted)
