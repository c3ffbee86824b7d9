import pytest
import torch

from foveal.core.errors import FovealError
from foveal.ops.neighbours import neighbours, score_neighbours, weigh_neighbours


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_neighbours_are_where_they_are_said_to_be(dilation, stride):
    x = torch.randn(2, 3, 5, 4)
    found = neighbours(x, 3, dilation, stride)
    assert found.shape == (2, 3, 9, -(-5 // stride), -(-4 // stride))
    for i in range(0, 5, stride):
        for j in range(0, 4, stride):
            for t in range(9):
                row, column = i + dilation * (t // 3 - 1), j + dilation * (t % 3 - 1)
                inside = 0 <= row < 5 and 0 <= column < 4
                wanted = x[:, :, row, column] if inside else torch.zeros(2, 3)
                assert found[:, :, t, i // stride, j // stride].equal(wanted)


@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (3, 1), (3, 2), (5, 1)])
@pytest.mark.parametrize("size", [(6, 7), (1, 1), (2, 9)])
def test_sums_agree_with_the_copies_in_outputs_and_gradients(kernel_size, dilation, size):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, *size, dtype=torch.float64, requires_grad=True)
    query = torch.randn_like(x, requires_grad=True)
    copies = neighbours(x.flatten(1, 2), kernel_size, dilation).unflatten(1, (3, 4))
    for shape in ((2, 3, 1), (2, 1, 4), (1, 3, 4)):  # shared by a head, by every fourth, by images
        weights = torch.randn(
            *shape, kernel_size**2, *size, dtype=torch.float64, requires_grad=True
        )
        _compare(
            weigh_neighbours(x, weights, kernel_size, dilation),
            (copies * weights).sum(3),
            (x, weights),
        )
    _compare(
        score_neighbours(query, x, kernel_size, dilation),
        (copies * query[:, :, :, None]).sum(2),
        (query, x),
    )


@pytest.mark.parametrize("dilation", [1, 2])
def test_what_lies_beyond_the_edge_can_be_given(dilation):
    torch.manual_seed(0)
    wide = torch.randn(2, 4, 9, 10, dtype=torch.float64, requires_grad=True)
    size = 9 - 2 * dilation, 10 - 2 * dilation
    query = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 1, 9, *size, dtype=torch.float64, requires_grad=True)
    copies = torch.nn.functional.unfold(wide, 3, dilation).view(2, 4, 9, *size)
    found = weigh_neighbours(wide, weights, 3, dilation, padded=True)
    _compare(found, (copies * weights).sum(2), (wide, weights))
    found = score_neighbours(query, wide, 3, dilation, padded=True)
    _compare(found, (copies * query[:, :, None]).sum(1), (query, wide))


def test_sums_save_no_copies_for_the_backward_pass():
    saved = []
    x = torch.randn(1, 8, 6, 6, requires_grad=True)
    weights = torch.randn(1, 1, 9, 6, 6, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()), lambda t: t):
        weigh_neighbours(x, weights, 3)
    assert sum(saved) == x.numel() + weights.numel()


def test_a_neighbourhood_has_a_middle():
    x = torch.rand(1, 2, 4, 4)
    for wrong in ((2,), (0,), (3, 0)):
        with pytest.raises(FovealError, match=f"kernel_size={wrong[0]} must be odd"):
            neighbours(x, *wrong)
    with pytest.raises(FovealError, match="must be \\(…, 9, H, W\\)"):
        weigh_neighbours(x, torch.rand(1, 1, 4, 4, 4), 3)


def _compare(found, wanted, tensors):
    torch.testing.assert_close(found, wanted)
    pull = torch.randn_like(wanted)
    for ours, theirs in zip(
        torch.autograd.grad(found, tensors, pull),
        torch.autograd.grad(wanted, tensors, pull, retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)
