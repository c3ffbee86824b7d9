import torch

from foveal.attention import CoordinateAttention


def test_is_the_sum_written_by_hand(stirred, tiny):
    coord = stirred(CoordinateAttention(6))
    bn = coord.bn
    y = coord(tiny)

    def shared(mean):
        """From the mean of one row or column to its eight features."""
        z = coord.shared.weight[..., 0] @ mean
        z = (z - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias
        return z * (z + 3).clamp(0, 6) / 6

    for b in range(2):
        for h in range(3):
            for w in range(4):
                row = sum(tiny[b, :, h, i] for i in range(4)) / 4
                column = sum(tiny[b, :, i, w] for i in range(3)) / 3
                a_h = (coord.rows.weight[..., 0] @ shared(row) + coord.rows.bias).sigmoid()
                a_w = (coord.columns.weight[..., 0] @ shared(column) + coord.columns.bias).sigmoid()
                torch.testing.assert_close(y[b, :, h, w], tiny[b, :, h, w] * a_h * a_w)


def test_the_shared_layer_is_at_least_eight_wide():
    assert CoordinateAttention(64).hidden == 8
    assert CoordinateAttention(512).hidden == 16


def test_rows_and_columns_are_not_mixed_up():
    """A map that varies along columns only has weights that vary along columns only."""
    x = torch.randn(1, 8, 1, 5).expand(1, 8, 4, 5)
    weights = CoordinateAttention(8).eval().attention_map(x)
    torch.testing.assert_close(weights, weights[:, :, :1].expand_as(weights))
    assert not torch.allclose(weights[..., 0], weights[..., 1])
