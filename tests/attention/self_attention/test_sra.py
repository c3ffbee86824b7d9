from math import exp, sqrt

import pytest
import torch
import torch.nn.functional as F

from foveal import FovealError, attention_info
from foveal.attention import SRA
from foveal.measure import count_multiply_adds


def keys_by_hand(module, x):
    """One key for each square of 2 × 2, from one image (C, 4, 4)."""
    rows = []
    for i in (0, 2):
        for j in (0, 2):
            square = x[:, i : i + 2, j : j + 2]
            t = torch.stack([(w * square).sum() for w in module.reduce.weight])
            t = t + module.reduce.bias
            t = (t - t.mean()) / (t.var(unbiased=False) + module.norm.eps).sqrt()
            rows.append(t * module.norm.weight + module.norm.bias)
    return rows


def test_is_the_sum_written_by_hand(stirred):
    module = stirred(SRA(6, num_heads=2, key_stride=2))
    images = torch.randn(2, 6, 4, 4).double()
    y = module(images)
    for b in range(2):
        projected = [module.key_value(t) for t in keys_by_hand(module, images[b])]
        for i in range(4):
            for j in range(4):
                q, out = module.query(images[b, :, i, j]), []
                for head in (slice(0, 3), slice(3, 6)):
                    k = [t[:6][head] for t in projected]
                    v = [t[6:][head] for t in projected]
                    e = [exp(float(q[head] @ t) / sqrt(3)) for t in k]
                    out.append(sum(w / sum(e) * t for w, t in zip(e, v, strict=True)))
                torch.testing.assert_close(y[b, :, i, j], module.proj(torch.cat(out)))


def test_the_linear_form_has_as_many_keys_for_any_map(stirred):
    module = stirred(SRA(8, linear=True))
    for size in ((14, 14), (9, 23), (3, 2)):
        x = torch.randn(1, 8, *size).double()
        weights = module.attention_map(x)
        assert weights.shape == (1, 1, size[0] * size[1], 49)
        reduced = module.reduce(F.adaptive_avg_pool2d(x, 7)).flatten(2).mT
        v = module.key_value(F.gelu(module.norm(reduced)))[..., 8:]
        torch.testing.assert_close(module(x).flatten(2).mT, module.proj(weights[:, 0] @ v))


@pytest.mark.parametrize(
    ("channels", "heads", "stride"), [(64, 1, 8), (128, 2, 4), (320, 5, 2), (512, 8, 1)]
)
def test_defaults_are_the_papers_stages(channels, heads, stride):
    module = SRA(channels)
    assert (module.num_heads, module.key_stride) == (heads, stride)


def test_a_map_that_squares_do_not_tile_ends_in_zeros(stirred):
    module = stirred(SRA(8, key_stride=4))
    x = torch.randn(1, 8, 6, 9).double()
    k = module._project(x)[1]
    assert torch.equal(k, module._project(F.pad(x, (0, 3, 0, 2)))[1])
    assert k.shape[2] == 2 * 3


@pytest.mark.parametrize("options", [{}, {"key_stride": 1}, {"linear": True}, {"qkv_bias": False}])
def test_costs_are_stated_for_every_form(options):
    card, module = attention_info("sra"), SRA(24, **options).eval()
    stated = card.cost(module, 24, 9, 10)
    assert stated["parameters"] == sum(p.numel() for p in module.parameters())
    counted = count_multiply_adds(module, torch.randn(1, 24, 9, 10))
    assert stated["multiply_adds"] == pytest.approx(counted, rel=0.02)


def test_refusals():
    for options in ({"num_heads": 5}, {"key_stride": 0}, {"linear": True, "pool_size": 0}):
        name, value = list(options.items())[-1]
        with pytest.raises(FovealError, match=f"{name}={value}"):
            SRA(8, **options)
