import pytest
import torch

from foveal.ops.strip_means import strip_means

ORDERS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sides", [False, True])
@pytest.mark.parametrize("size", [(4, 5), (1, 1), (3, 1), (1, 6)])
def test_means_and_all_their_gradients(order, sides, size):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64).contiguous(memory_format=order)
    x.requires_grad_()
    found = strip_means(x, sides)
    wanted = x.mean(3), x.mean(2), x[..., 0], x[..., -1]
    for one, other in zip(found, wanted if sides else wanted[:2], strict=True):
        torch.testing.assert_close(one, other)
    assert torch.autograd.gradcheck(lambda x: strip_means(x, sides), (x,))
    assert torch.autograd.gradgradcheck(lambda x: strip_means(x, sides), (x,))


@pytest.mark.parametrize("order", ORDERS)
def test_the_gradient_lies_as_the_map_does(order):
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=order).requires_grad_()
    rows, columns = strip_means(x)
    (rows.sum() + columns.square().sum()).backward()
    assert x.grad.is_contiguous(memory_format=order)
