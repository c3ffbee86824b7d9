import pytest
import torch

from foveal.ops.pool import max_and_mean


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("size", [(4, 5), (1, 6), (1, 1)])
def test_maximum_and_mean_in_either_order(order, dim, size):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64).contiguous(memory_format=order)
    found = max_and_mean(x.requires_grad_(), dim)
    torch.testing.assert_close(found[:, 0], x.amax(dim))
    torch.testing.assert_close(found[:, 1], x.mean(dim))
    assert torch.autograd.gradcheck(lambda x: max_and_mean(x, dim), (x,))
