from math import sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import ELA


def test_is_the_sum_written_by_hand(stirred, tiny):
    ela = stirred(ELA(6, kernel_size=3, groups=2, norm_groups=3))
    weight = ela.conv.weight

    def gate(strips):
        """From the means of strips (6, n) to their weights."""
        n = strips.shape[1]
        z = torch.zeros(6, n).double()
        for o in range(6):
            group = range(3) if o < 3 else range(3, 6)
            for i, c in enumerate(group):
                for at in range(n):
                    for tap in range(3):
                        if 0 <= at + tap - 1 < n:
                            z[o, at] += weight[o, i, tap] * strips[c, at + tap - 1]
        for pair in (0, 1), (2, 3), (4, 5):
            values = [float(z[c, at]) for c in pair for at in range(n)]
            mean = sum(values) / len(values)
            variance = sum((v - mean) ** 2 for v in values) / len(values)
            for c in pair:
                z[c] = (z[c] - mean) / sqrt(variance + 1e-5) * ela.norm.weight[c] + ela.norm.bias[c]
        return z.sigmoid()

    y = ela(tiny)
    for b in range(2):
        rows = gate(sum(tiny[b, :, :, w] for w in range(4)) / 4)
        columns = gate(sum(tiny[b, :, h] for h in range(3)) / 3)
        for h in range(3):
            for w in range(4):
                wanted = tiny[b, :, h, w] * rows[:, h] * columns[:, w]
                torch.testing.assert_close(y[b, :, h, w], wanted)


@pytest.mark.parametrize(
    ("variant", "kernel_size", "groups", "norm_groups"),
    [("T", 5, 256, 32), ("B", 7, 256, 16), ("S", 5, 32, 16), ("L", 7, 32, 16)],
)
def test_variants_are_the_papers(variant, kernel_size, groups, norm_groups):
    ela = ELA(256, variant)
    assert ela.conv.kernel_size == (kernel_size,)
    assert ela.conv.groups == groups
    assert ela.norm.num_groups == norm_groups


def test_the_default_is_the_base_variant_and_options_overrule_it():
    assert ELA(64).conv.kernel_size == (7,)
    assert ELA(64, "T", kernel_size=9).conv.kernel_size == (9,)


@pytest.mark.parametrize(("channels", "groups"), [(20, 10), (24, 12), (7, 7), (64, 16)])
def test_channels_that_sixteen_does_not_divide(channels, groups):
    assert ELA(channels).norm.num_groups == groups


def test_a_group_of_a_single_value_has_the_weight_of_the_bias():
    """A value alone is its own mean, and 0 after normalisation; born, the bias is 0."""
    ela, x = ELA(16), torch.randn(1, 16, 5, 1)
    weights = ela.attention_map(x[:, :, :1])
    torch.testing.assert_close(weights, torch.full_like(weights, 0.25), atol=1e-3, rtol=0)
    torch.testing.assert_close(ela(x), x * ela.attention_map(x))


@pytest.mark.parametrize(
    "options", [{"variant": "b"}, {"kernel_size": 4}, {"groups": 3}, {"norm_groups": 5}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        ELA(16, **options)
