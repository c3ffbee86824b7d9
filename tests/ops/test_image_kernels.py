import pytest
import torch
import torch.nn.functional as F

from foveal.ops.image_kernels import _convolve_by_taps, convolve_images


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("way", [convolve_images, _convolve_by_taps])
def test_each_image_meets_its_own_kernels(groups, k, way):
    torch.manual_seed(0)
    x, bias = torch.randn(3, 4, 5, 7).double(), torch.randn(3, 8).double()
    kernels = torch.randn(3, 8, 4 // groups, k, k).double()
    y = way(x, kernels, bias, groups)
    for b in range(3):
        wanted = F.conv2d(x[b : b + 1], kernels[b], bias[b], padding=k // 2, groups=groups)
        torch.testing.assert_close(y[b : b + 1], wanted)
    torch.testing.assert_close(way(x, kernels, None, groups), y - bias[..., None, None])
