import pytest
import torch

from foveal import FovealError
from foveal.attention import BAM


def norm(layer, x):
    """Batch normalisation by stored statistics, written out for channels first."""
    shape = (-1,) + (1,) * (x.ndim - 1)
    mean, var, weight, bias = (
        t.view(shape) for t in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return (x - mean) / (var + layer.eps).sqrt() * weight + bias


def dilated(conv, x, dilation):
    """A 3 × 3 convolution, tap by tap."""
    height, width = x.shape[1:]
    y = torch.zeros(conv.weight.shape[0], height, width).double()
    for i in range(3):
        for j in range(3):
            for h in range(height):
                for w in range(width):
                    r, c = h + (i - 1) * dilation, w + (j - 1) * dilation
                    if 0 <= r < height and 0 <= c < width:
                        y[:, h, w] += conv.weight[:, :, i, j] @ x[:, r, c]
    return y


@pytest.mark.parametrize("combine", ["product", "sum"])
def test_is_the_sum_written_by_hand(stirred, tiny, combine):
    bam = stirred(BAM(6, reduction=2, dilation=2, num_convs=1, combine=combine))
    y = bam(tiny)
    for b in range(2):
        x = tiny[b]
        fc, bn, _, last = bam.channel
        channel = last.weight @ norm(bn, fc.weight @ x.mean((1, 2))).clamp(min=0) + last.bias
        reduce, bn1, _, conv, bn2, _, final = bam.spatial
        s = norm(bn1, torch.einsum("oc,chw->ohw", reduce.weight[:, :, 0, 0], x)).clamp(min=0)
        s = norm(bn2, dilated(conv, s, 2)).clamp(min=0)
        s = torch.einsum("oc,chw->ohw", final.weight[:, :, 0, 0], s) + final.bias
        c = channel[:, None, None]
        torch.testing.assert_close(
            y[b], x * (1 + (c * s if combine == "product" else c + s).sigmoid())
        )


def test_maps_need_not_be_square_nor_as_large_as_the_dilated_filter():
    for size in ((20, 28), (7, 7), (1, 1)):
        assert BAM(64)(torch.rand(2, 64, *size)).shape == (2, 64, *size)


def test_wrong_numbers_are_refused():
    for options in ({"combine": "mean"}, {"dilation": 0}, {"num_layers": 0}, {"num_convs": -1}):
        with pytest.raises(FovealError):
            BAM(16, **options)
