from math import exp, floor

import pytest
import torch

from foveal import FovealError
from foveal.attention import MSDeform


def between(values, right, down):
    """Values (D, h, w) at a place measured in positions from the corner, 0 outside."""
    found = torch.zeros(len(values)).double()
    right, down = right - 0.5, down - 0.5  # a position's middle lies half a step in
    for i in (floor(down), floor(down) + 1):
        for j in (floor(right), floor(right) + 1):
            if 0 <= i < values.shape[1] and 0 <= j < values.shape[2]:
                found += (1 - abs(down - i)) * (1 - abs(right - j)) * values[:, i, j]
    return found


def test_is_the_sum_written_by_hand(stirred):
    module = stirred(MSDeform(4, num_heads=2, num_levels=2, num_points=3))
    x, points = torch.randn(2, 3, 4).double(), torch.rand(2, 3, 2).double()
    maps = [torch.randn(2, 4, 4, 5).double(), torch.randn(2, 4, 2, 3).double()]
    y = module(x, points, maps)
    for b in range(2):
        values = [
            torch.einsum("dc,chw->dhw", module.value.weight, one[b])
            + module.value.bias[:, None, None]
            for one in maps
        ]
        for n in range(3):
            offsets = (module.offsets.weight @ x[b, n] + module.offsets.bias).tolist()
            scores = (module.weights.weight @ x[b, n] + module.weights.bias).tolist()
            heads = []
            for h in range(2):
                own = [exp(s) for s in scores[6 * h : 6 * h + 6]]
                total = torch.zeros(2).double()
                for level in range(2):
                    height, width = maps[level].shape[2:]
                    for p in range(3):
                        at = 6 * h + 3 * level + p
                        right = float(points[b, n, 0]) * width + offsets[2 * at]
                        down = float(points[b, n, 1]) * height + offsets[2 * at + 1]
                        found = between(values[level][2 * h : 2 * h + 2], right, down)
                        total += own[3 * level + p] / sum(own) * found
                heads.append(total)
            wanted = module.proj.weight @ torch.cat(heads) + module.proj.bias
            torch.testing.assert_close(y[b, n], wanted)


def test_is_born_looking_all_around():
    module = MSDeform(16, num_heads=4, num_levels=1, num_points=2)
    places = module.offsets.bias.view(4, 2, 2).round(decimals=4).tolist()
    assert places[0] == [[1, 0], [2, 0]]
    assert places[1] == [[0, 1], [0, 2]]
    weights = module.attention_map(torch.rand(1, 3, 16), torch.rand(1, 3, 2), [])
    torch.testing.assert_close(weights, torch.full((1, 4, 3, 2), 0.5))


def test_points_move_what_is_seen():
    """A map that grows to the right, seen at two points of the same height."""
    module = MSDeform(4, num_heads=1, num_levels=1, num_points=1)
    torch.nn.init.zeros_(module.offsets.bias)
    for layer in module.value, module.proj:
        torch.nn.init.eye_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    ramp = torch.arange(8.0).expand(1, 4, 6, 8)
    points = torch.tensor([[[0.25, 0.5], [0.75, 0.5]]])
    y = module(torch.rand(1, 2, 4), points, [ramp])
    torch.testing.assert_close(y, torch.tensor([1.5, 5.5])[None, :, None].expand(1, 2, 4))


def test_maps_may_have_any_sizes_in_one_export():
    module = MSDeform(8, num_levels=2).eval()
    maps = [torch.rand(1, 8, 6, 7), torch.rand(1, 8, 3, 4)]
    free = torch.export.Dim.DYNAMIC
    shapes = ({1: free}, {1: free}, [{2: free, 3: free}] * 2)
    example = (torch.rand(1, 5, 8), torch.rand(1, 5, 2), maps)
    program = torch.export.export(module, example, dynamic_shapes=shapes).module()
    x, points = torch.rand(1, 9, 8), torch.rand(1, 9, 2)
    maps = [torch.rand(1, 8, 9, 4), torch.rand(1, 8, 5, 5)]
    torch.testing.assert_close(program(x, points, maps), module(x, points, maps))


def test_wrong_inputs_are_refused():
    module = MSDeform(8, num_levels=2)
    x, points, one = torch.rand(1, 3, 8), torch.rand(1, 3, 2), torch.rand(1, 8, 4, 4)
    with pytest.raises(FovealError, match=r"num_levels=2 maps .* got 1 maps"):
        module(x, points, [one])
    with pytest.raises(FovealError, match="2 points for 3 tokens"):
        module(x, points[:, :2], [one, one])
    with pytest.raises(FovealError, match="ms_deform needs maps: a list of maps"):
        module(x, points)
    with pytest.raises(FovealError, match="num_points=0"):
        MSDeform(8, num_points=0)
