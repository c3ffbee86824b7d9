import pytest
import torch
import torch.nn.functional as F

from foveal.ops.bins import mean_of_bins


@pytest.mark.parametrize("size", [(7, 7), (14, 9), (5, 1), (1, 30), (56, 13)])
@pytest.mark.parametrize("bins", [(7, 7), (1, 4), (3, 2)])
def test_is_torchs_adaptive_average(size, bins):
    x = torch.randn(2, 3, *size).double()
    torch.testing.assert_close(mean_of_bins(x, *bins), F.adaptive_avg_pool2d(x, bins))
