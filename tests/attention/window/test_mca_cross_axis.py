from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import CrossAxisAttention


def attended(queries, keys, values):
    """What each line takes, for lists of lines; lines are compared at length 1."""
    taken = []
    for q in queries:
        unit = q / q.norm()
        shares = [exp(float(unit @ (k / k.norm()))) for k in keys]
        gathered = sum(s / sum(shares) * v for s, v in zip(shares, values, strict=True))
        taken.append(gathered + unit)
    return taken


def test_is_the_sum_written_by_hand(stirred, tiny):
    module = stirred(CrossAxisAttention(6, num_heads=2, kernel_size=(1, 3)))
    y = module(tiny)
    normed = (tiny - tiny.mean(1, keepdim=True)) / (
        tiny.var(1, unbiased=False, keepdim=True) + 1e-5
    ).sqrt()
    normed = normed * module.norm.weight[:, None, None] + module.norm.bias[:, None, None]
    u = module.proj(sum(conv(normed) for conv in module.along_rows))
    v = module.proj(sum(conv(normed) for conv in module.along_columns))
    for b in range(2):
        total = torch.zeros(6, 3, 4).double()
        for head in (slice(0, 3), slice(3, 6)):
            of_u = [u[b, head, h].flatten() for h in range(3)]
            of_v = [v[b, head, h].flatten() for h in range(3)]
            for h, line in enumerate(attended(of_v, of_u, of_u)):
                total[head, h] += line.view(3, 4)
            of_u = [u[b, head, :, w].flatten() for w in range(4)]
            of_v = [v[b, head, :, w].flatten() for w in range(4)]
            for w, line in enumerate(attended(of_u, of_v, of_v)):
                total[head, :, w] += line.view(3, 3)
        weight, bias = module.proj.weight[..., 0, 0], module.proj.bias
        wanted = tiny[b] + torch.einsum("oc,chw->ohw", weight, total) + 2 * bias[:, None, None]
        torch.testing.assert_close(y[b], wanted)


def test_the_kernels_of_an_axis_are_one(stirred):
    module = stirred(CrossAxisAttention(4))
    x = torch.randn(1, 4, 5, 9).double()
    for convs in module.along_rows, module.along_columns:
        torch.testing.assert_close(module._strips(x, convs), sum(conv(x) for conv in convs))
    assert [conv.kernel_size for conv in module.along_rows] == [(1, 7), (1, 11), (1, 21)]


def test_pairs_are_of_rows_or_of_columns(stirred):
    x = torch.randn(2, 8, 5, 7).double()
    module = stirred(CrossAxisAttention(8))
    rows, columns = module.attention_map(x), module.attention_map(x, axis="columns")
    assert rows.shape == (2, 2, 5, 5)
    assert columns.shape == (2, 2, 7, 7)
    for weights in rows, columns:
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


def test_a_row_of_zeros_is_finite_in_half_precision():
    x = torch.zeros(1, 8, 4, 4, dtype=torch.float16)
    module = CrossAxisAttention(8).half()
    for parameter in module.parameters():
        torch.nn.init.zeros_(parameter)
    assert module(x).isfinite().all()


def test_wrong_numbers_are_refused():
    with pytest.raises(FovealError, match=r"kernel_size=\(7, 4\)"):
        CrossAxisAttention(8, kernel_size=(7, 4))
    with pytest.raises(FovealError, match="num_heads=3"):
        CrossAxisAttention(8, num_heads=3)
