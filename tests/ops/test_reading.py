import pytest
import torch

from foveal.ops.reading import add_product, read_channels, read_positions


def tokens(channels_last):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, dtype=torch.float64)
    x = x.mT.contiguous().mT if channels_last else x
    return x.requires_grad_()


@pytest.mark.parametrize("channels_last", [False, True])
def test_readings_in_a_row_and_all_their_gradients(channels_last):
    x = tokens(channels_last)
    by_channel = torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True)
    by_position = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)

    def read(x, by_channel, by_position):
        one, x = read_channels(x, by_channel)
        other, x = read_positions(x, by_position)
        return one, other, x.square()

    one, other, last = read(x, by_channel, by_position)
    torch.testing.assert_close(one, by_channel @ x)
    torch.testing.assert_close(other, x @ by_position.mT)
    torch.testing.assert_close(last, x.square())
    assert torch.autograd.gradcheck(read, (x, by_channel, by_position))
    assert torch.autograd.gradgradcheck(read, (x, by_channel, by_position))


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_gradient_lies_as_the_tokens_do(channels_last):
    x = tokens(channels_last)
    found, rest = read_channels(x, torch.ones(2, 1, 3, dtype=torch.float64))
    (found.sum() + rest.sum()).backward()
    assert x.grad.stride() == x.stride()
    torch.testing.assert_close(x.grad, torch.full_like(x, 2))


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_product_is_added_in_the_order_of_what_it_is_added_to(channels_last):
    x = tokens(channels_last).detach()
    a, b = torch.randn(2, 3, 2).double(), torch.randn(2, 2, 5).double()
    found = add_product(x, a, b)
    torch.testing.assert_close(found, x + a @ b)
    assert found.stride() == x.stride()
