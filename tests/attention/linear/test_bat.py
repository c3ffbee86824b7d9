from math import exp

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import BilinearAttentionalTransform


def sigmoid(score):
    return 1 / (1 + exp(-float(score)))


def by_hand(module, x):
    """For sides that are multiples of the number of blocks, line by line."""
    s, groups = module.num_blocks, module.groups
    z = module.reduce(x)
    _, width, tall, wide = z.shape
    t, u, y = tall // s, wide // s, torch.zeros_like(z)
    seen = module.look(z)
    for b in range(len(x)):
        of_rows = torch.stack([seen[b, :, i * t : (i + 1) * t].amax((1, 2)) for i in range(s)], 1)
        of_columns = torch.stack(
            [seen[b, :, :, j * u : (j + 1) * u].amax((1, 2)) for j in range(s)], 1
        )
        p = module.rows(of_rows[None, :, :, None]).view(groups, s, s)
        q = module.columns(of_columns[None, :, None]).view(groups, s, s)
        for c in range(width):
            g = c // (width // groups)
            for h in range(tall):
                for w in range(wide):
                    i, j = h // t, w // u
                    from_rows = [sigmoid(p[g, i, k]) for k in range(s)]
                    from_columns = [sigmoid(q[g, k, j]) for k in range(s)]
                    y[b, c, h, w] = sum(
                        from_rows[k] / sum(from_rows) * from_columns[m] / sum(from_columns)
                        * z[b, c, k * t + h % t, m * u + w % u]
                        for k in range(s)
                        for m in range(s)
                    )  # fmt: skip
    return x + module.expand(module.mix(y))


@pytest.mark.parametrize("size", [(4, 6), (2, 2)])
def test_is_the_sum_written_by_hand(stirred, size):
    module = stirred(BilinearAttentionalTransform(6, num_blocks=2, groups=2, hidden=4))
    x = torch.randn(2, 6, *size).double()
    torch.testing.assert_close(module(x), by_hand(module, x))


def test_a_last_block_that_lacks_lines_is_not_counted(stirred):
    """Five rows in two blocks: rows 0, 1 and 2 pair with 3, 4 and none."""
    module = stirred(BilinearAttentionalTransform(4, num_blocks=2, groups=1, hidden=2))
    weights = module.attention_map(torch.randn(1, 4, 5, 3).double())[0, 0]
    paired = weights > 0
    wanted = torch.eye(5, dtype=torch.bool)
    for a, b in ((0, 3), (1, 4)):
        wanted[a, b] = wanted[b, a] = True
    assert torch.equal(paired, wanted)
    torch.testing.assert_close(weights.sum(1), torch.ones(5).double())


def test_columns_have_a_map_too(stirred):
    x = torch.randn(2, 8, 5, 9).double()
    columns = stirred(BilinearAttentionalTransform(8)).attention_map(x, axis="columns")
    assert columns.shape == (2, 2, 9, 9)
    torch.testing.assert_close(columns.sum(-1), torch.ones_like(columns[..., 0]))


def test_weights_that_all_underflow_are_finite():
    module = BilinearAttentionalTransform(8).eval()
    torch.nn.init.constant_(module.rows.bias, -1e4)
    assert module(F.relu(torch.randn(1, 8, 7, 7))).isfinite().all()


def test_wrong_numbers_are_refused():
    with pytest.raises(FovealError, match="groups=3 divide the width 2"):
        BilinearAttentionalTransform(8, groups=3)
    with pytest.raises(FovealError, match="num_blocks=0"):
        BilinearAttentionalTransform(8, num_blocks=0)
