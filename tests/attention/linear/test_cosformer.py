from math import cos, pi

import pytest
import torch

from foveal import FovealError
from foveal.attention import CosFormer


def test_is_the_sum_written_by_hand(stirred, tiny):
    module = stirred(CosFormer(6, num_heads=2))
    y = module(tiny).flatten(2).mT
    for b in range(2):
        tokens = tiny[b].flatten(1).T  # twelve positions, row by row
        projected = tokens @ module.qkv.weight.T + module.qkv.bias
        heads = []
        for h in range(2):
            q, k, v = (projected[:, part * 6 + h * 3 : part * 6 + h * 3 + 3] for part in range(3))
            rows = []
            for i in range(12):
                scores = [
                    sum(max(0, float(q[i, c])) * max(0, float(k[j, c])) for c in range(3))
                    * cos(pi / 2 * (i - j) / 12)
                    for j in range(12)
                ]
                rows.append(sum(s * v[j] for j, s in enumerate(scores)) / max(sum(scores), 1e-6))
            heads.append(torch.stack(rows))
        wanted = torch.cat(heads, dim=1) @ module.proj.weight.T + module.proj.bias
        torch.testing.assert_close(y[b], wanted)


def test_weights_fall_off_as_a_cosine():
    module = CosFormer(4, num_heads=1)
    torch.nn.init.zeros_(module.qkv.weight)
    torch.nn.init.ones_(module.qkv.bias)  # all tokens match equally
    row = module.attention_map(torch.rand(1, 4, 4, 5))[0, 0, 0]
    wanted = torch.tensor([cos(pi / 2 * j / 20) for j in range(20)])
    torch.testing.assert_close(row, wanted / wanted.sum())


def test_options_are_checked():
    with pytest.raises(FovealError, match="num_heads=3"):
        CosFormer(8, num_heads=3)
    with pytest.raises(FovealError, match="no feature map"):
        CosFormer(8, feature="gone")
