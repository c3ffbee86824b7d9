from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import LambdaLayer


@pytest.mark.parametrize("kernel_size", [3, (5, 7)])
def test_is_the_sum_written_by_hand(stirred, tiny, kernel_size):
    module = stirred(LambdaLayer(6, num_heads=2, head_channels=2, kernel_size=kernel_size))
    y = module(tiny)
    tall, wide = module.position.kernel_size
    places = [(h, w) for h in range(3) for w in range(4)]
    for b in range(2):
        queries, keys, values = module.qkv(tiny[b : b + 1]).split([4, 2, 3], 1)
        queries, values = module.query_norm(queries)[0], module.value_norm(values)[0]
        shares = [[exp(float(keys[0, k, h, w])) for h, w in places] for k in range(2)]
        content = torch.stack(
            [
                sum(s / sum(row) * values[:, h, w] for s, (h, w) in zip(row, places, strict=True))
                for row in shares
            ]
        )  # (K, V)
        for h, w in places:
            function = content + module.position.bias[:, None]
            for i, j in places:
                down, right = i - h + tall // 2, j - w + wide // 2
                if 0 <= down < tall and 0 <= right < wide:
                    vector = module.position.weight[:, 0, down, right]
                    function = function + vector[:, None] * values[:, i, j]
            for head in range(2):
                wanted = queries[2 * head : 2 * head + 2, h, w] @ function
                torch.testing.assert_close(y[b, 3 * head : 3 * head + 3, h, w], wanted)


def test_heads_share_keys_and_values():
    module = LambdaLayer(64)
    assert module.widths == [4 * 16, 16, 16]
    assert LambdaLayer(6).num_heads == 1


def test_wrong_numbers_are_refused():
    with pytest.raises(FovealError, match="kernel_size=8 must be odd"):
        LambdaLayer(8, kernel_size=8)
    with pytest.raises(FovealError, match="num_heads=3"):
        LambdaLayer(8, num_heads=3)
    with pytest.raises(FovealError, match="head_channels=0"):
        LambdaLayer(8, head_channels=0)
