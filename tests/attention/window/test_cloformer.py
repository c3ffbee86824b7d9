from math import exp, sqrt, tanh

import pytest
import torch

from foveal import FovealError, attention_info
from foveal.attention import CloFormer
from foveal.measure import count_multiply_adds
from foveal.testing import check_attention


def dense(conv, image):
    """A convolution of one position: (channels, H, W) → (out, H, W)."""
    bias = 0 if conv.bias is None else conv.bias[:, None, None]
    return torch.einsum("oc,chw->ohw", conv.weight[:, :, 0, 0], image) + bias


def local_by_hand(module, conv, image):
    width = conv.score[0].in_channels
    size = conv.mix.kernel_size[0]
    raw = dense(conv.qkv, image)
    _, rows, columns = raw.shape
    mixed = torch.zeros_like(raw)
    for c in range(3 * width):
        for i in range(rows):
            for j in range(columns):
                total = float(conv.mix.bias[c])
                for a in range(size):
                    for b in range(size):
                        row, column = i + a - size // 2, j + b - size // 2
                        if 0 <= row < rows and 0 <= column < columns:
                            total += float(conv.mix.weight[c, 0, a, b] * raw[c, row, column])
                mixed[c, i, j] = total
    q, k, v = mixed.split(width)
    hidden = dense(conv.score[0], q * k)
    scores = dense(conv.score[2], hidden / (1 + (-hidden).exp()))
    y = torch.zeros_like(v)
    for c in range(width):
        for i in range(rows):
            for j in range(columns):
                weight = tanh(float(scores[c, i, j]) / sqrt(module.head_channels))
                y[c, i, j] = weight * v[c, i, j]
    return y


def means_by_hand(module, image):
    side, d = module.window_size, module.head_channels
    _, rows, columns = image.shape
    means = [
        image[:, i : i + side, j : j + side].flatten(1).mean(1)
        for i in range(0, rows, side)
        for j in range(0, columns, side)
    ]
    pooled = torch.stack(means, 1)[:, None]  # what is left of a window counts, and no zeros
    q = dense(module.query, image)
    k, v = dense(module.key_value, pooled)[:, 0].chunk(2)
    y = torch.zeros_like(q)
    for head in range(module.low // d):
        own = slice(head * d, head * d + d)
        for i in range(rows):
            for j in range(columns):
                e = [exp(float(q[own, i, j] @ k[own, m]) / sqrt(d)) for m in range(len(means))]
                y[own, i, j] = sum(w / sum(e) * v[own, m] for m, w in enumerate(e))
    return y


@pytest.mark.parametrize(
    ("sizes", "split"), [((3,), (2, 1)), ((3, 5), (1, 1, 1)), ((3,), (3, 0)), ((), (3,))]
)
@pytest.mark.parametrize("window", [1, 2])
def test_is_the_sum_written_by_hand(stirred, tiny, sizes, split, window):
    module = stirred(CloFormer(6, 3, sizes, split, window))
    y = module(tiny)
    for b in range(2):
        parts = [local_by_hand(module, conv, tiny[b]) for conv in module.convs]
        if split[-1]:
            parts.append(means_by_hand(module, tiny[b]))
        torch.testing.assert_close(y[b], dense(module.proj, torch.cat(parts)))


@pytest.mark.parametrize(
    ("channels", "heads", "split", "kernel", "window"),
    [(64, 4, (3, 1), 3, 8), (128, 8, (4, 4), 5, 4), (224, 14, (7, 7), 7, 2),
     (448, 28, (7, 21), 9, 1)],
)  # fmt: skip
def test_the_stages_of_the_largest_model_are_the_defaults(channels, heads, split, kernel, window):
    module = CloFormer(channels)
    assert module.num_heads == heads
    assert (module.local, module.low) == tuple(16 * number for number in split)
    assert module.convs[0].mix.kernel_size == (kernel, kernel)
    assert module.window_size == window


def test_the_map_of_means_on_request(stirred, tiny):
    module = stirred(CloFormer(6, 3, 3, (2, 1), 2))
    assert module.attention_map(tiny).shape == (2, 4, 3, 4)
    assert module.attention_map(tiny).abs().max() < 1
    low = module.attention_map(tiny, low=True)
    assert low.shape == (2, 1, 12, 4)
    torch.testing.assert_close(low.sum(-1), torch.ones(2, 1, 12).double())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"qkv_bias": False, "window_size": 1},
        {"split": (4, 0)},
        {"kernel_size": (), "split": (4,)},
        {"kernel_size": (7, 5), "split": (1, 1, 2)},
    ],
)
def test_costs_are_stated_for_every_form(options):
    card, module = attention_info("cloformer"), CloFormer(64, **options).eval()
    stated = card.cost(module, 64, 10, 18)
    assert stated["parameters"] == sum(p.numel() for p in module.parameters())
    counted = count_multiply_adds(module, torch.randn(1, 64, 10, 18))
    assert stated["multiply_adds"] == pytest.approx(counted, rel=0.02)


@pytest.mark.parametrize(
    "options", [{"kernel_size": (), "split": (4,), "window_size": 4}, {"window_size": 1}]
)
def test_options_keep_the_laws(options):
    check_attention("cloformer", laws=("shape", "attention_map", "fused", "onnx"), **options)


def test_refusals():
    with pytest.raises(FovealError, match=r"kernel_size=\(4,\)"):
        CloFormer(64, kernel_size=4)
    with pytest.raises(FovealError, match="window_size=0"):
        CloFormer(64, window_size=0)
    with pytest.raises(FovealError, match="num_heads=5"):
        CloFormer(64, 5)
    for split in ((4,), (2, 1), (5, -1)):
        with pytest.raises(FovealError, match="split="):
            CloFormer(64, split=split)
