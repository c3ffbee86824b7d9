"""The count of multiply-adds, against sums done by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import foveal
from foveal.measure import count_multiply_adds, count_operations


class Do(nn.Module):
    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, *args):
        return self.what(*args)


X = (2, 3, 4, 6)
SIZE = 2 * 3 * 4 * 6


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (lambda x: x + 1, SIZE),
        (lambda x: x * x.mean((2, 3), keepdim=True), 2 * SIZE),
        (lambda x: 1 - x, SIZE),
        (lambda x: x.mul_(2), SIZE),
        (lambda x: torch.lerp(x, x, 0.3), SIZE),
        (lambda x: torch.addcmul(x, x, x), SIZE),
        (lambda x: x**2, SIZE),
        (lambda x: x.square(), SIZE),
        (lambda x: x**0.5, 0),
        (lambda x: x.sum(), SIZE),
        (lambda x: x.var((2, 3)), 2 * SIZE),
        (lambda x: torch.std_mean(x, 1), 2 * SIZE),
        (lambda x: x.norm(dim=1), 2 * SIZE),
        (lambda x: F.normalize(x, dim=1), 2 * SIZE + SIZE),
        (lambda x: x.softmax(-1), 2 * SIZE),
        (lambda x: F.layer_norm(x, (6,)), 4 * SIZE),
        (lambda x: F.group_norm(x, 3), 4 * SIZE),
        (lambda x: F.instance_norm(x), 4 * SIZE),
        (lambda x: F.avg_pool2d(x, 2), SIZE),
        (lambda x: F.avg_pool2d(x, 3, 1, 1), 9 * SIZE),
        (lambda x: F.adaptive_avg_pool2d(x, 1), SIZE),
        (lambda x: F.adaptive_avg_pool2d(x, (3, 4)), 2 * 3 * (2 + 2 + 2) * (2 + 2 + 2 + 2)),
        (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), 4 * 4 * SIZE),
        (lambda x: F.interpolate(x, scale_factor=2), 0),
        (lambda x: x.cumsum(1), SIZE),
        (lambda x: F.fold(F.unfold(x, 2), (4, 6), 2), 2 * 3 * 4 * 3 * 5),
        (lambda x: F.grid_sample(x, torch.zeros(2, 5, 5, 2), align_corners=False), 4 * 2 * 3 * 25),
        (lambda x: torch.cat((x, x.permute(0, 1, 2, 3)), 1).relu().sigmoid().exp(), 0),
        (lambda x: F.gelu(F.silu(F.hardswish(x.tanh()))), 0),
        (lambda x: F.max_pool2d(x.amax(1, keepdim=True), 2), 0),
        (lambda x: F.pad(x, (1, 1)).roll(1, 2).flip(2), 0),
        (lambda x: F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2), 0),
        (lambda x: torch.einsum("bchw,bdhw->bcd", x, x), SIZE * 3),
        (lambda x: x @ x.mT, SIZE * 4),
        # a fast Fourier transform is 5/2 n log₂ n multiply-adds, and half of that for real numbers
        (lambda x: torch.fft.fft(x + 0j, dim=2).real, SIZE + 2.5 * SIZE * 2),
        (lambda x: torch.fft.rfft(x, dim=2).real, 1.25 * SIZE * 2),
        (lambda x: torch.fft.irfft(torch.fft.rfft(x, dim=2), dim=2), 2 * 1.25 * SIZE * 2),
    ],
)
def test_rules(what, expected):
    operations = count_operations(Do(what), torch.rand(X))
    assert operations.multiply_adds == expected
    assert not operations.unknown


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Conv2d(8, 6, 3, padding=1, groups=2), (2, 8, 5, 7), 2 * 6 * 35 * 4 * 9),
        (nn.Conv2d(8, 6, 3, dilation=2, padding=2), (2, 8, 5, 7), 2 * 6 * 35 * 8 * 9),
        (nn.Conv2d(8, 8, 3, padding="same", groups=8), (2, 8, 5, 7), 2 * 8 * 35 * 9),
        (nn.Conv1d(1, 1, 3, padding=1), (2, 1, 64), 2 * 64 * 3),
        (nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1), (2, 8, 5, 7), 2 * 8 * 35 * 6 * 16),
        (nn.Conv3d(2, 3, (1, 3, 3)), (1, 2, 4, 5, 5), 3 * 4 * 9 * 2 * 9),
        (nn.Linear(5, 7), (2, 3, 5), 2 * 3 * 5 * 7),
        (nn.Linear(5, 7, bias=False), (2, 3, 4, 5), 2 * 3 * 4 * 5 * 7),
        (nn.BatchNorm2d(3), X, SIZE),
        (nn.BatchNorm1d(3), (4, 3), 12),
        (nn.InstanceNorm2d(3, affine=True), X, 4 * SIZE),
        (nn.RMSNorm(6), X, 4 * SIZE),
    ],
)
def test_layers(layer, shape, expected):
    found = count_multiply_adds(layer, torch.rand(shape))
    # RMSNorm adds epsilon once per row where it is not one kernel
    assert found == pytest.approx(expected, rel=0.05 if isinstance(layer, nn.RMSNorm) else 0)


@pytest.mark.parametrize("backend", [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_attention_by_any_kernel(backend, device):
    q, k, v = (torch.rand(2, 4, n, d, device=device) for n, d in ((9, 8), (5, 8), (5, 8)))
    with sdpa_kernel(backend):
        found = count_multiply_adds(Do(F.scaled_dot_product_attention), (q, k, v))
    assert found == 2 * 4 * 9 * 5 * (8 + 8)


@pytest.mark.parametrize("need_weights", [False, True])
def test_multihead_attention_without_its_fast_path(need_weights):
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.rand(3, 10, 8)
    operations = count_operations(
        layer, {"query": x, "key": x, "value": x, "need_weights": need_weights}
    )
    assert sum(operations.products.values()) == 3 * (4 * 10 * 8 * 8 + 2 * 10 * 10 * 8)
    assert torch.backends.mha.get_fastpath_enabled()


def test_meta_and_cpu_agree():
    x = torch.rand(1, 16, 9, 7)
    with torch.device("meta"):
        mechanism = foveal.create_attention("eca", 16)
    on_meta = count_multiply_adds(mechanism, x.to("meta"))
    assert on_meta == count_multiply_adds(foveal.create_attention("eca", 16), x)
    assert on_meta == 2 * 16 * 63 + 3 * 16


def test_an_unknown_operation_is_not_free():
    model = Do(lambda x: torch.linalg.svdvals(x))
    assert list(count_operations(model, torch.rand(4, 4)).unknown) == ["aten._linalg_svd"]
    with pytest.warns(UserWarning, match="_linalg_svd"):
        count_multiply_adds(model, torch.rand(4, 4))


def test_the_model_is_left_as_found():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            self.calls = self.calls + 1
            return self.norm(x) + torch.rand(())

    model, x = Noisy(), torch.rand(X)
    buffer, generator = model.calls, torch.get_rng_state()
    count_multiply_adds(model, x)
    assert torch.equal(torch.get_rng_state(), generator)
    assert model.training
    assert model.norm.training
    assert model.calls is buffer
    assert model.calls == 0


def test_a_model_that_cannot_run():
    with pytest.raises(foveal.FovealError, match=r"Conv2d cannot run on tensor of shape \(1, 4"):
        count_multiply_adds(nn.Conv2d(3, 8, 3), torch.rand(1, 4, 8, 8))


@pytest.mark.parametrize("name", ["srm", "gct_gated", "simam"])
def test_the_order_in_memory_changes_no_count(name):
    module, x = foveal.create_attention(name, 16).eval(), torch.rand(2, 16, 6, 8)
    last = x.contiguous(memory_format=torch.channels_last)
    found = count_multiply_adds(module, last)
    assert found == pytest.approx(count_multiply_adds(module, x), rel=0.03)
