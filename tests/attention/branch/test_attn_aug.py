from math import exp, sqrt

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import AttentionAugmented


def test_is_the_sum_written_by_hand(stirred):
    """Equations 2 to 4, on a square map of the size that the tables are for."""
    aug = stirred(AttentionAugmented(6, 3, num_heads=2, head_channels=3, value_channels=2,
                                     table_size=3))  # fmt: skip
    x = torch.randn(2, 6, 3, 3).double()
    y = aug(x)
    positions = [(h, w) for h in range(3) for w in range(3)]
    for b in range(2):
        projected = {
            p: aug.qkv.weight[:, :, 0, 0] @ x[b, :, p[0], p[1]] + aug.qkv.bias for p in positions
        }
        for i in positions:
            taken = []
            for head in range(2):
                exponentials = []
                for j in positions:
                    q = projected[i][head * 3 : head * 3 + 3]
                    k = projected[j][6 + head * 3 : 6 + head * 3 + 3]
                    rows = aug.row_table[j[0] - i[0] + 2]
                    columns = aug.column_table[j[1] - i[1] + 2]
                    exponentials.append(exp(float(q @ (k + rows + columns)) / sqrt(3)))
                values = [projected[j][12 + head * 2 : 14 + head * 2] for j in positions]
                total = sum(exponentials)
                pairs = zip(exponentials, values, strict=True)
                taken.append(sum(e / total * v for e, v in pairs))
            attended = aug.proj.weight[:, :, 0, 0] @ torch.cat(taken) + aug.proj.bias
            torch.testing.assert_close(y[b, 2:, i[0], i[1]], attended)
    torch.testing.assert_close(y[:, :2], F.conv2d(x, aug.conv.weight, aug.conv.bias, padding=1))


def test_the_map_is_what_forward_uses(stirred):
    aug = stirred(AttentionAugmented(16))
    x = torch.randn(2, 16, 4, 5).double()
    weights = aug.attention_map(x)
    assert weights.shape == (2, 2, 20, 20)
    v = aug.qkv(x)[:, -2:].flatten(2).unflatten(1, (2, 1)).mT
    wanted = aug.proj((weights @ v).mT.flatten(1, 2).unflatten(2, (4, 5)))
    torch.testing.assert_close(aug(x)[:, -2:], wanted)


def test_on_a_larger_map_the_furthest_pair_keeps_its_vector(stirred):
    aug = stirred(AttentionAugmented(8, table_size=4))
    assert aug._distances(aug.row_table, 4)[0, :, 3].equal(aug.row_table[6])
    large = aug._distances(aug.row_table, 7)
    torch.testing.assert_close(large[0, :, 6], aug.row_table[6])
    torch.testing.assert_close(large[6, :, 0], aug.row_table[0])
    torch.testing.assert_close(large[2, :, 4], aug.row_table[4])  # half as far apart on this map
    torch.testing.assert_close(large[2, :, 3], (aug.row_table[3] + aug.row_table[4]) / 2)


def test_widths_are_the_papers():
    """κ = 2υ = 0.2, eight heads, keys of at least 20 channels per head (section 4)."""
    aug = AttentionAugmented(640)
    assert (aug.num_heads, aug.value_width, aug.head_channels) == (8, 64, 20)
    assert aug.conv_channels == 576
    assert AttentionAugmented(1600).head_channels == 40
    assert AttentionAugmented(1).conv is None


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2},
        {"num_heads": 0},
        {"num_heads": 8, "value_channels": 3},
        {"head_channels": 0},
        {"table_size": 0},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        AttentionAugmented(16, **options)
