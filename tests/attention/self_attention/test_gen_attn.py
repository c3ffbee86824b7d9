from math import cos, exp, sin, sqrt

import pytest
import torch

from foveal import FovealError, attention_info
from foveal.attention import GeneralizedAttention
from foveal.measure import count_multiply_adds
from foveal.testing import check_attention

EVERY_TYPE = [f"{bits:04b}" for bits in range(1, 16)]


def weights_by_hand(module, x, radius=None):
    """The softmax of the four terms, for every head and pair, of one image."""
    bits, stride = module.attention_type_bits, module.key_stride
    channels, height, width = x.shape
    d, waves = module.head_channels, channels // 4
    keys = [(i, j) for i in range(0, height, stride) for j in range(0, width, stride)]

    def wave(offset):
        angles = [offset / 1000 ** (t / waves) for t in range(waves)]
        return torch.tensor([*map(sin, angles), *map(cos, angles)], dtype=x.dtype)

    weights = torch.zeros(module.num_heads, height * width, len(keys), dtype=x.dtype)
    for head in range(module.num_heads):
        own = slice(head * d, head * d + d)
        for n in range(height * width):
            i, j = divmod(n, width)
            scores = {}
            for m, (a, b) in enumerate(keys):
                near_row = radius is None or (
                    (i - radius) // stride <= a // stride <= (i + radius + 1) // stride
                )
                near_column = radius is None or (
                    (j - radius) // stride <= b // stride <= (j + radius + 1) // stride
                )
                if not (near_row and near_column):
                    continue
                score = 0.0
                if bits[0] or bits[1]:
                    q = module.query.weight[own] @ x[:, i, j]
                if bits[0] or bits[2]:
                    k = module.key.weight[own] @ x[:, a, b]
                if bits[1] or bits[3]:
                    r = module.rows.weight[own] @ wave(i - a)
                    r = (r + module.columns.weight[own] @ wave(j - b)) / sqrt(2)
                score += float(q @ k) if bits[0] else 0
                score += float(q @ r) if bits[1] else 0
                score += float(module.of_key[head, 0] @ k) if bits[2] else 0
                score += float(module.of_place[head, 0] @ r) if bits[3] else 0
                scores[m] = exp(score)
            for m, score in scores.items():
                weights[head, n, m] = score / sum(scores.values())
    return weights, keys


def require_by_hand(module, bits, radius=None):
    module.attention_type_bits = [bit == "1" for bit in bits]
    x = torch.randn(8, 3, 4, generator=torch.Generator().manual_seed(7)).double()
    weights, keys = weights_by_hand(module, x, radius)
    found = module.attention_map(x[None])[0]
    torch.testing.assert_close(found.expand_as(weights), weights)
    values = torch.stack([module.value.weight @ x[:, a, b] for a, b in keys])  # (M, inner)
    heads = [
        weights[h] @ values[:, h * module.head_channels : (h + 1) * module.head_channels]
        for h in range(module.num_heads)
    ]
    y = module.proj.weight @ torch.cat(heads, 1).T + module.proj.bias[:, None]
    wanted = x + module.gamma * y.unflatten(1, (3, 4))
    torch.testing.assert_close(module(x[None])[0], wanted)


@pytest.mark.parametrize("bits", EVERY_TYPE)
def test_is_the_sum_written_by_hand(stirred, bits):
    require_by_hand(stirred(GeneralizedAttention(8, 2, attention_type=bits)), bits)


@pytest.mark.parametrize(
    ("bits", "stride", "radius"), [("1111", 1, 0), ("1000", 2, 1), ("0010", 1, 1), ("0001", 2, 0)]
)
def test_sees_no_further_than_its_range(stirred, bits, stride, radius):
    module = GeneralizedAttention(
        8, 2, attention_type=bits, spatial_range=radius, key_stride=stride, head_channels=3
    )
    require_by_hand(stirred(module), bits, radius)


def test_only_what_a_type_needs_is_learnt():
    names = {name.split(".")[0] for name, _ in GeneralizedAttention(
        16, attention_type="0010").named_parameters()}  # fmt: skip
    assert names == {"key", "value", "of_key", "proj", "gamma"}


def test_no_table_of_pairs_is_handed_to_attention():
    from foveal.testing.attending import Recorder

    module = GeneralizedAttention(8, 2, key_stride=1, spatial_range=3).eval()
    with torch.no_grad(), Recorder() as recorder:
        module(torch.randn(1, 8, 20, 20))
    assert max(t.numel() for t in recorder.tensors) < 20**4


@pytest.mark.parametrize("bits", EVERY_TYPE)
@pytest.mark.parametrize("options", [{}, {"spatial_range": 2, "key_stride": 1}])
def test_costs_are_stated_for_every_type(bits, options):
    card = attention_info("gen_attn")
    module = GeneralizedAttention(32, attention_type=bits, **options)
    stated = card.cost(module, 32, 9, 12)
    assert stated["parameters"] == sum(p.numel() for p in module.parameters())
    counted = count_multiply_adds(module.eval(), torch.randn(1, 32, 9, 12))
    assert stated["multiply_adds"] == pytest.approx(counted, rel=0.02)


@pytest.mark.parametrize("options", [{"attention_type": "0010"}, {"spatial_range": 2}])
def test_options_keep_the_laws(options):
    laws = ("shape", "learning", "precision", "finite", "attention_map", "fused", "onnx")
    check_attention("gen_attn", laws=laws, **options)


def test_refusals():
    for bits in ("0000", "111", "1120"):
        with pytest.raises(FovealError, match="attention_type="):
            GeneralizedAttention(8, attention_type=bits)
    with pytest.raises(FovealError, match="spatial_range=-1"):
        GeneralizedAttention(8, spatial_range=-1)
    with pytest.raises(FovealError, match="key_stride=0"):
        GeneralizedAttention(8, key_stride=0)
    with pytest.raises(FovealError, match="num_heads=9"):
        GeneralizedAttention(64, 9)
    with pytest.raises(FovealError, match="head_channels=0"):
        GeneralizedAttention(64, head_channels=0)
