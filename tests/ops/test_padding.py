import pytest
import torch

from foveal.ops.attend import attend
from foveal.ops.padding import cut_sequence, hide_padding, pad_sequence


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_hidden_keys_change_nothing(dtype):
    q, k, v = (torch.randn(2, 3, 5, 4).to(dtype) for _ in range(3))
    padded = [
        pad_sequence(t, 8) for t in (q, k, torch.cat((v, torch.full_like(v, 9)), 2)[:, :, :8])
    ]
    y = attend(*hide_padding(padded[0], padded[1], 5), padded[2], scale=0.5)
    torch.testing.assert_close(cut_sequence(y, 5), attend(q, k, v, scale=0.5))


def test_keys_that_are_all_hidden_share_the_weight():
    q, k, v = (torch.randn(1, 2, 4, 3).requires_grad_() for _ in range(3))
    y = attend(*hide_padding(q, k, 0), v)
    torch.testing.assert_close(y, v.mean(2, keepdim=True).expand_as(v))
    y.sum().backward()
    assert all(torch.isfinite(t.grad).all() for t in (q, k, v))


def test_what_needs_no_padding_is_not_copied():
    q, k = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    assert pad_sequence(q, 2) is q
    assert cut_sequence(q, 4) is q
    assert hide_padding(q, k, 4) == (q, k)
