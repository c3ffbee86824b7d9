import pytest
import torch
from torch.nn import functional as F

from foveal.ops.resize import adaptive_means, bilinear

SIZES = [(5, 7, 3, 12), (1, 1, 5, 5), (20, 12, 20, 12), (9, 4, 2, 1), (3, 3, 17, 1)]


@pytest.mark.parametrize(("height", "width", "rows", "columns"), SIZES)
def test_means_are_those_of_torch(height, width, rows, columns):
    x = torch.randn(2, 3, height, width).double()
    wanted = F.adaptive_avg_pool2d(x, (rows, columns))
    torch.testing.assert_close(adaptive_means(x, rows, columns), wanted)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(("height", "width", "rows", "columns"), SIZES)
def test_drawn_out_as_by_torch(height, width, rows, columns, align_corners):
    x = torch.randn(2, 3, height, width).double()
    wanted = F.interpolate(x, (rows, columns), mode="bilinear", align_corners=align_corners)
    torch.testing.assert_close(bilinear(x, rows, columns, align_corners), wanted)
