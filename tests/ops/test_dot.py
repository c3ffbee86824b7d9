import pytest
import torch

from foveal.ops.dot import channel_dot, strip_dots


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("grad", [True, False])
def test_is_the_sum_of_the_products(order, dtype, grad):
    torch.manual_seed(0)
    a, b = (torch.randn(2, 3, 4, 5).to(dtype).contiguous(memory_format=order) for _ in "ab")
    wanted = torch.einsum("bchw,bchw->bc", a.double(), b.double())
    with torch.set_grad_enabled(grad):
        found = channel_dot(a, b)
    close = {torch.float64: 1e-12, torch.float32: 1e-5}.get(dtype, 0.1)
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=close)


def test_types_may_differ():
    a, b = torch.ones(1, 2, 3, 3), torch.ones(1, 2, 3, 3, dtype=torch.bfloat16)
    with torch.no_grad():
        assert channel_dot(a, b).tolist() == [[9, 9]]


@pytest.mark.parametrize("orders", ["cc", "ll", "cl", "lc"])
def test_strip_dots_are_sums_of_weighed_products(orders):
    torch.manual_seed(0)
    order = {"c": torch.contiguous_format, "l": torch.channels_last}
    a, b = (torch.randn(9, 3, 4, 5).double().contiguous(memory_format=order[o]) for o in orders)
    rows, columns = torch.randn(9, 3, 4).double(), torch.randn(9, 3, 5).double()
    along_rows, along_columns = strip_dots(a, b, rows, columns)
    torch.testing.assert_close(along_rows, torch.einsum("bchw,bchw,bcw->bch", a, b, columns))
    torch.testing.assert_close(along_columns, torch.einsum("bchw,bchw,bch->bcw", a, b, rows))
