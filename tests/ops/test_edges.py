import torch

from foveal.ops.edges import neighbours_inside
from foveal.ops.neighbours import neighbours


def test_inside_is_where_neighbours_are_not_padding():
    for size in (5, 4), (1, 1), (2, 7):
        for kernel_size, dilation in (3, 1), (5, 1), (3, 2):
            ones = neighbours(torch.ones(1, 1, *size), kernel_size, dilation)[0, 0]
            assert torch.equal(neighbours_inside(*size, kernel_size, dilation), ones > 0)
