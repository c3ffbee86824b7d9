from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import MaxViTGrid, Swin


@pytest.mark.parametrize("size", [(6, 4), (5, 7), (2, 3)])
def test_is_the_sum_written_by_hand(stirred, size):
    """On the grid of 3 × 2, position p is in cell p // step, and meets those with its p % step."""
    grid = stirred(MaxViTGrid(4, num_heads=2, window_size=(3, 2)))
    x = torch.randn(4, *size).double()
    steps = -(-size[0] // 3), -(-size[1] // 2)
    places = [(r, c) for r in range(size[0]) for c in range(size[1])]

    def cell(place):
        return [p // step for p, step in zip(place, steps, strict=True)]

    def phase(place):
        return [p % step for p, step in zip(place, steps, strict=True)]

    weights, biases = grid.qkv.weight.chunk(3), grid.qkv.bias.chunk(3)
    q, k, v = (
        {p: w @ x[:, p[0], p[1]] + b for p in places} for w, b in zip(weights, biases, strict=True)
    )
    table = grid.bias.table.view(5, 3, 2)
    wanted = torch.zeros_like(x)
    for i in places:
        heads = []
        for head in range(2):
            part, scores = slice(2 * head, 2 * head + 2), {}
            for j in places:
                if phase(i) == phase(j):
                    (a, b), (c, d) = cell(i), cell(j)
                    bias = float(table[a - c + 2, b - d + 1, head])
                    scores[j] = exp(float(q[i][part] @ k[j][part]) / sqrt(2) + bias)
            heads.append(sum(e * v[j][part] for j, e in scores.items()) / sum(scores.values()))
        wanted[:, i[0], i[1]] = grid.proj.weight @ torch.cat(heads) + grid.proj.bias
    torch.testing.assert_close(grid(x[None])[0], wanted)


def test_one_layer_reaches_across_the_map_and_not_next_door(stirred):
    grid = stirred(MaxViTGrid(4, window_size=2))
    x = torch.randn(1, 4, 8, 8).double()
    changed = x.clone()
    changed[..., 0, 0] += 1
    moved = (grid(changed) - grid(x)).abs().amax(1)[0] > 1e-12
    assert moved.nonzero().tolist() == [[0, 0], [0, 4], [4, 0], [4, 4]]


def test_block_is_window_attention(stirred):
    block = stirred(MaxViTGrid(8, window_size=4, partition="block"))
    swin = Swin(8, window_size=4).double()
    swin.load_state_dict(block.state_dict())
    x = torch.randn(1, 8, 6, 9).double()
    torch.testing.assert_close(block(x), swin(x).detach())


def test_partition_is_one_of_two():
    with pytest.raises(FovealError, match="partition='rows'"):
        MaxViTGrid(8, partition="rows")
