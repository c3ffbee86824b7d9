import pytest
import torch

from foveal.ops.pool import max_and_mean, mean_over_channels


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


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("grad", [True, False])
def test_mean_over_channels_however_it_is_taken(order, dtype, grad):
    torch.manual_seed(0)
    x = torch.randn(2, 7, 4, 5).to(dtype).contiguous(memory_format=order)
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(mean_over_channels(x), x.mean(1, keepdim=True))
