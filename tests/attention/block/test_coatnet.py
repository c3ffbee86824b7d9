from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import CoAtNet


def normed(layer, x):
    x = (x - x.mean()) / (x.var(unbiased=False) + layer.eps).sqrt()
    return x * layer.weight + layer.bias


def test_is_the_sum_written_by_hand(stirred):
    """Equation 3, on a map of the size that the kernel is for, and the perceptron after it."""
    block = stirred(CoAtNet(6, num_heads=2, hidden=4, table_size=3, act="relu"))
    x = torch.randn(2, 6, 3, 3).double()
    y = block(x)
    positions = [(h, w) for h in range(3) for w in range(3)]
    for b in range(2):
        tokens = {p: x[b, :, p[0], p[1]] for p in positions}
        qkv = {
            p: block.qkv.weight @ normed(block.attn_norm, t) + block.qkv.bias
            for p, t in tokens.items()
        }
        for i in positions:
            heads = []
            for head in range(2):
                c, scores = 3 * head, {}
                for j in positions:
                    match = float(qkv[i][c : c + 3] @ qkv[j][6 + c : 9 + c]) / sqrt(3)
                    kernel = float(block.table[head, i[0] - j[0] + 2, i[1] - j[1] + 2])
                    scores[j] = exp(match + kernel)
                total = sum(scores.values())
                heads.append(sum(scores[j] / total * qkv[j][12 + c : 15 + c] for j in positions))
            z = tokens[i] + block.proj.weight @ torch.cat(heads) + block.proj.bias
            inner = block.mlp[0].weight @ normed(block.mlp_norm, z) + block.mlp[0].bias
            wanted = z + block.mlp[3].weight @ inner.clamp(min=0) + block.mlp[3].bias
            torch.testing.assert_close(y[b, :, i[0], i[1]], wanted)


def test_without_content_it_is_a_convolution_of_the_whole_map(stirred):
    block = stirred(CoAtNet(4, num_heads=1, table_size=5))
    block.qkv.weight[:8] = 0
    block.qkv.bias[:8] = 0
    weights = block.attention_map(torch.randn(1, 4, 5, 5).double())[0, 0]
    middle = weights[12].view(5, 5)  # its key at row r lies 2 − r above it
    kernel = block.table[0, 2:7, 2:7].flip(0, 1).exp()
    torch.testing.assert_close(middle, kernel / kernel.sum())


def test_the_kernel_is_stretched_to_other_maps(stirred):
    block = stirred(CoAtNet(8, table_size=4))
    bias = block._bias(7, 1).view(1, 7, 7)
    column = block.table[:, :, 3]  # no distance along the only column
    torch.testing.assert_close(bias[:, 6, 0], column[:, 6])
    torch.testing.assert_close(bias[:, 0, 6], column[:, 0])
    torch.testing.assert_close(bias[:, 4, 2], column[:, 4])
    torch.testing.assert_close(bias[:, 3, 2], (column[:, 3] + column[:, 4]) / 2)


def test_heads_and_widths_are_the_papers():
    block = CoAtNet(384)
    assert (block.num_heads, block.hidden, block.table.shape) == (12, 1536, (12, 27, 27))


@pytest.mark.parametrize(
    "options", [{"num_heads": 3}, {"hidden": 0}, {"table_size": 0}, {"act": "silly"}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        CoAtNet(16, **options)
