from math import exp, sqrt

import pytest
import torch
import torch.nn.functional as F

from foveal import FovealError, attention_info
from foveal.attention import EMSA
from foveal.measure import count_multiply_adds


def keys_by_hand(module, x):
    """One key for each 2 × 2 of one image (C, 4, 6), from the 3 × 3 around its first position."""
    padded, rows = F.pad(x, (1, 1, 1, 1)), []
    for i in (0, 2, 4)[: x.shape[1] // 2]:
        for j in (0, 2, 4)[: x.shape[2] // 2]:
            square = padded[:, i : i + 3, j : j + 3]
            t = (module.reduce.weight[:, 0] * square).sum((1, 2)) + module.reduce.bias
            t = (t - t.mean()) / (t.var(unbiased=False) + module.norm.eps).sqrt()
            t = t * module.norm.weight
            rows.append(t if module.norm.bias is None else t + module.norm.bias)
    return rows


@pytest.mark.parametrize("transform", [True, False])
def test_is_the_sum_written_by_hand(stirred, transform):
    module = stirred(EMSA(6, num_heads=2, key_stride=2, transform=transform))
    images = torch.randn(2, 6, 4, 6).double()
    y = module(images)
    for b in range(2):
        x = images[b].flatten(1)
        projected = [module.key_value(t) for t in keys_by_hand(module, images[b])]
        halves = slice(0, 3), slice(3, 6)
        scores = torch.zeros(2, 24, 6).double()
        for h, half in enumerate(halves):
            for n in range(24):
                for m in range(6):
                    scores[h, n, m] = module.query(x[:, n])[half] @ projected[m][:6][half]
        scores = scores / sqrt(3)
        if transform:
            mixing = module.mix.weight[:, :, 0, 0]
            scores = torch.stack([sum(mixing[h, g] * scores[g] for g in (0, 1)) for h in (0, 1)])
        weights = torch.zeros_like(scores)
        for h in range(2):
            for n in range(24):
                e = [exp(float(s)) for s in scores[h, n]]
                weights[h, n] = torch.tensor(e, dtype=torch.float64) / sum(e)
            if transform:
                mean, spread = weights[h].mean(), weights[h].var(unbiased=False)
                weights[h] = (weights[h] - mean) / (spread + 1e-5).sqrt()
        torch.testing.assert_close(module.attention_map(images)[b], weights)
        for n in range(24):
            out = [
                sum(weights[h, n, m] * projected[m][6:][half] for m in range(6))
                for h, half in enumerate(halves)
            ]
            torch.testing.assert_close(y[b].flatten(1)[:, n], module.proj(torch.cat(out)))


def test_version_2_brings_the_values_back(stirred):
    module = stirred(EMSA(6, num_heads=2, key_stride=2, version=2))
    x = torch.randn(1, 6, 5, 7).double()
    _, _, v, image = module._project(x)
    assert image.shape == (1, 6, 3, 4)
    values = F.pixel_shuffle(module.restore[0](image), 2)[:, :, :5, :7]
    attended = (module.attention_map(x) @ v).transpose(1, 2).flatten(2)
    wanted = module.proj(attended + module.restore_norm(values.flatten(2).mT))
    torch.testing.assert_close(module(x).flatten(2).mT, wanted)


@pytest.mark.parametrize("channels", [64, 128, 256, 512])
def test_defaults_are_the_papers_stages(channels):
    module = EMSA(channels)
    assert (module.num_heads, module.key_stride) == (channels // 64, 512 // channels)


@pytest.mark.parametrize("stride", [1, 2, 3, 8])
@pytest.mark.parametrize("version", [1, 2])
def test_costs_are_stated_for_every_form(stride, version):
    card = attention_info("emsa")
    module = EMSA(24, 3, stride, version).eval()
    stated = card.cost(module, 24, 9, 10)
    assert stated["parameters"] == sum(p.numel() for p in module.parameters())
    counted = count_multiply_adds(module, torch.randn(1, 24, 9, 10))
    assert stated["multiply_adds"] == pytest.approx(counted, rel=0.02)


def test_refusals():
    for options in ({"version": 3}, {"num_heads": 5}, {"key_stride": 0}):
        name, value = next(iter(options.items()))
        with pytest.raises(FovealError, match=f"{name}={value}"):
            EMSA(8, **options)
