import pytest
import torch

from foveal.ops.strips import crop_strips, pad_strips, strip_places


@pytest.mark.parametrize(("size", "count"), [(8, 4), (9, 4), (3, 4), (1, 1), (6, 7)])
def test_places_tell_where_each_position_comes_from(size, count):
    places, inside = strip_places(size, count, torch.device("cpu"))
    assert places[inside].tolist() == list(range(size))
    x = torch.arange(1.0, size + 1).view(1, 1, size, 1)
    padded = pad_strips(x, (count, 1)).flatten()
    assert torch.equal(padded, torch.where(inside, places + 1, 0).flatten().float())


def test_an_export_takes_strips_of_one_position_and_of_many():
    class Strips(torch.nn.Module):
        def forward(self, x):
            y = pad_strips(x, (4, 3))
            rows = y.unflatten(2, (4, -1)).sum(2, keepdim=True)  # each strip's first, second, …
            y = (y.unflatten(2, (4, -1)) + 0 * rows).flatten(2, 3)
            return crop_strips(y, (4, 3), *x.shape[2:])

    free = torch.export.Dim.DYNAMIC
    for traced in (6, 9), (2, 3):
        x = torch.randn(2, 3, *traced)
        program = torch.export.export(Strips(), (x,), dynamic_shapes=({2: free, 3: free},))
        for size in (4, 4), (5, 3), (2, 11), (12, 8):
            y = torch.randn(2, 3, *size)
            torch.testing.assert_close(program.module()(y), y)
