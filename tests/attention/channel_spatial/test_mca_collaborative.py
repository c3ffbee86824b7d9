from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import CollaborativeAttention
from foveal.attention.channel_spatial.mca_collaborative import adaptive_kernel_size


def gates(module, x, axis):
    """Weights along one axis of an image (C, H, W), slice by slice."""
    pooled = []
    for part in x.unbind(axis):
        values = part.flatten().tolist()
        mean = sum(values) / len(values)
        spread = sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1)
        a, b = (0.5 + 1 / (1 + exp(-float(w))) for w in module.weight)
        pooled.append(a * mean + b * spread**0.5)
    kernel = module.conv.weight.flatten().tolist()
    edge = len(kernel) // 2
    padded = [0.0] * edge + pooled + [0.0] * edge
    scores = [sum(k * padded[i + j] for j, k in enumerate(kernel)) for i in range(len(pooled))]
    return [1 / (1 + exp(-score)) for score in scores]


@pytest.mark.parametrize("channel", [True, False])
@pytest.mark.parametrize("size", [(3, 4), (1, 1)])
def test_is_the_sum_written_by_hand(stirred, channel, size):
    module = stirred(CollaborativeAttention(6, channel_kernel_size=3, channel=channel))
    x = torch.randn(2, 6, *size).double()
    y = module(x)
    for image, found in zip(x, y, strict=True):
        rows, columns = gates(module.rows, image, 1), gates(module.columns, image, 2)
        channels = gates(module.channel_gate, image, 0) if channel else [0] * 6
        for c in range(6):
            for h in range(size[0]):
                for w in range(size[1]):
                    share = (channels[c] + rows[h] + columns[w]) / (2 + channel)
                    torch.testing.assert_close(found[c, h, w], image[c, h, w] * share)


def test_the_papers_rule():
    sizes = {1: 1, 2: 1, 16: 1, 64: 3, 256: 5, 512: 5, 2048: 7}
    assert {channels: adaptive_kernel_size(channels) for channels in sizes} == sizes
    assert CollaborativeAttention(2)(torch.randn(1, 2, 3, 3)).isfinite().all()


def test_a_small_spread_beside_a_large_mean_is_seen():
    """A difference of squares would lose it."""
    x = 1e3 + 1e-1 * torch.randn(1, 8, 6, 6)
    module = CollaborativeAttention(8).eval()
    with torch.no_grad():
        wanted = module.double().attention_map(x.double())
        torch.testing.assert_close(module.float().attention_map(x).double(), wanted)


def test_even_kernels_are_refused():
    with pytest.raises(FovealError, match="kernel size of 4 must be odd"):
        CollaborativeAttention(8, kernel_size=4)
    with pytest.raises(FovealError, match="kernel size of 2 must be odd"):
        CollaborativeAttention(8, channel_kernel_size=2)
