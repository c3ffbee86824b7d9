import torch

from foveal.ops.order import in_order_of, order_of


def test_order_of_each_kind_of_map():
    x = torch.rand(2, 3, 4, 5)
    last = x.contiguous(memory_format=torch.channels_last)
    assert order_of(x) == torch.contiguous_format
    assert order_of(last) == torch.channels_last
    assert order_of(last.flip(3).transpose(2, 3)) == torch.contiguous_format  # neither of the two
    assert order_of(last[:, :1]) == torch.contiguous_format


def test_small_tensors_follow_the_map():
    last = torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    small = torch.rand(2, 3, 1, 5)
    assert in_order_of(last, small).equal(small)
    assert (last * in_order_of(last, small)).is_contiguous(memory_format=torch.channels_last)
    assert in_order_of(last.contiguous(), small) is small
