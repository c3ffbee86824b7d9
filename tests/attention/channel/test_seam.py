from math import e, erf, exp, sqrt

import pytest
import torch

from foveal import FovealError, attention_info
from foveal.attention import SEAM
from foveal.measure import count_multiply_adds
from foveal.testing import check_attention


def gelu(z):
    return 0.5 * z * (1 + erf(z / sqrt(2)))


def normed(z, norm, c):
    """Batch normalisation by what is known of earlier images."""
    mean, variance = float(norm.running_mean[c]), float(norm.running_var[c])
    return (z - mean) / sqrt(variance + norm.eps) * float(norm.weight[c]) + float(norm.bias[c])


def mixed(image, mixer):
    """The mean of each channel after one mixer; the image is a list of rows for each channel."""
    channels, height, width = len(image), len(image[0]), len(image[0][0])
    inner = [[[0.0] * width for _ in range(height)] for _ in range(channels)]
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                z = float(mixer.depthwise.bias[c])
                for a in range(3):
                    for b in range(3):
                        row, column = i + a - 1, j + b - 1
                        if 0 <= row < height and 0 <= column < width:
                            z += float(mixer.depthwise.weight[c, 0, a, b]) * image[c][row][column]
                inner[c][i][j] = image[c][i][j] + normed(gelu(z), mixer.depthwise_norm, c)
    means = [0.0] * channels
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                z = float(mixer.pointwise.bias[c])
                for k in range(channels):
                    z += float(mixer.pointwise.weight[c, k, 0, 0]) * inner[k][i][j]
                means[c] += normed(gelu(z), mixer.norm, c) / (height * width)
    return means


def patches_of(image, branch, side):
    channels, height, width = len(image), len(image[0]) // side, len(image[0][0]) // side
    y = [[[0.0] * width for _ in range(height)] for _ in range(channels)]
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                z = float(branch.patch.bias[c])
                for k in range(channels):
                    for a in range(side):
                        for b in range(side):
                            pixel = image[k][i * side + a][j * side + b]
                            z += float(branch.patch.weight[c, k, a, b]) * pixel
                y[c][i][j] = normed(gelu(z), branch.patch_norm, c)
    return y


def weights_of(pooled, module):
    hidden = [max(0.0, sum(float(w) * m for w, m in zip(row, pooled, strict=True)))
              for row in module.squeeze.weight]  # fmt: skip
    scores = (sum(float(w) * h for w, h in zip(row, hidden, strict=True))
              for row in module.excite.weight)  # fmt: skip
    return [exp(1 / (1 + exp(-score))) for score in scores]


def test_is_the_sum_written_by_hand(stirred, tiny):
    module = stirred(SEAM(6, reduction=3))
    y = module(tiny)
    for b in range(2):
        pooled = mixed(tiny[b].tolist(), module.branches[0].mixers[0])
        weights = torch.tensor(weights_of(pooled, module), dtype=torch.float64)
        torch.testing.assert_close(y[b], tiny[b] * weights[:, None, None])


def test_patches_written_by_hand(stirred, tiny):
    """Of sides 2 and 3 on a map of 3 × 4: the third row, or the fourth column, is not seen."""
    module = stirred(SEAM(6, hidden=2, patch_size=(2, 3)))
    y = module(tiny)
    for b in range(2):
        image = tiny[b].tolist()
        pooled = [sum(map(sum, channel)) / 12 for channel in image]
        for branch, side in zip(module.branches, (2, 3), strict=True):
            of_branch = mixed(patches_of(image, branch, side), branch.mixers[0])
            pooled = [a + m for a, m in zip(pooled, of_branch, strict=True)]
        weights = torch.tensor(weights_of([p / 3 for p in pooled], module), dtype=torch.float64)
        torch.testing.assert_close(y[b], tiny[b] * weights[:, None, None])


def test_no_channel_is_weakened():
    weights = SEAM(32).attention_map(torch.randn(2, 32, 5, 6))
    assert weights.min() > 1
    assert weights.max() < e


def test_the_mean_of_the_normalised_is_the_normalised_mean(stirred, tiny):
    """In training the batch's own statistics need the whole map, in evaluation the mean will do."""
    module, frozen = (stirred(SEAM(6, depth=2)) for _ in range(2))
    frozen.train()
    for part in frozen.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.eval()
    torch.testing.assert_close(frozen(tiny), module(tiny))
    torch.manual_seed(1)
    whole = module.train().branches[0].mixers[1]
    last = whole(torch.randn(2, 6, 3, 4).double())
    statistics = last.mean((0, 2, 3)), last.var((0, 2, 3), correction=0)
    wanted = torch.nn.functional.batch_norm(
        last.mean((2, 3)), *statistics, whole.norm.weight, whole.norm.bias, eps=whole.norm.eps
    )
    torch.testing.assert_close(whole.norm(last).mean((2, 3)), wanted)


@pytest.mark.parametrize("options", [{}, {"depth": 2}, {"patch_size": (2, 3), "depth": 2}])
def test_costs_are_stated_for_every_form(options):
    card, module = attention_info("seam"), SEAM(24, **options).eval()
    stated = card.cost(module, 24, 12, 18)
    assert stated["parameters"] == sum(p.numel() for p in module.parameters())
    counted = count_multiply_adds(module, torch.randn(1, 24, 12, 18))
    assert stated["multiply_adds"] == pytest.approx(counted, rel=0.02)


def test_patches_keep_the_laws():
    laws = ("shape", "learning", "attention_map", "meta")
    check_attention("seam", laws=laws, patch_size=(6, 7, 8))
    check_attention("seam", laws=["onnx"], patch_size=(2,))


def test_refusals():
    with pytest.raises(FovealError, match="kernel_size=4"):
        SEAM(8, kernel_size=4)
    with pytest.raises(FovealError, match="depth=0"):
        SEAM(8, depth=0)
    for wrong in ((), (1, 6)):
        with pytest.raises(FovealError, match="patch_size="):
            SEAM(8, patch_size=wrong)
