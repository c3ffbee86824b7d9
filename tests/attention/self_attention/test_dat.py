from math import erf, exp, floor, log2, sqrt, tanh

import pytest
import torch
import torch.nn.functional as F

from foveal import FovealError, attention_info
from foveal.attention import DAT
from foveal.measure import count_multiply_adds


def read(image, row, column):
    """A map (C, H, W) between its positions; −1 and 1 are the outermost."""
    height, width = image.shape[1:]
    r, c = (row + 1) / 2 * (height - 1), (column + 1) / 2 * (width - 1)
    total = torch.zeros(image.shape[0]).double()
    for i in (floor(r), floor(r) + 1):
        for j in (floor(c), floor(c) + 1):
            if 0 <= i < height and 0 <= j < width:
                total = total + (1 - abs(r - i)) * (1 - abs(c - j)) * image[:, i, j]
    return total


def points_by_hand(module, q):
    """The keys' places in one image, from the queries of one group as a map (C, 4, 6)."""
    padded, points = F.pad(q, (1, 1, 1, 1)), []
    for i in range(2):
        for j in range(3):
            taps = padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            t = (module.near.weight[:, 0] * taps).sum((1, 2)) + module.near.bias
            t = (t - t.mean()) / (t.var(unbiased=False) + module.norm.eps).sqrt()
            t = t * module.norm.weight + module.norm.bias
            t = torch.tensor([float(u) * (1 + erf(float(u) / sqrt(2))) / 2 for u in t]).double()
            move = module.offset.weight @ t
            points.append(
                (
                    tanh(float(move[0])) * 2 / (2 - 1) + (i + 0.5) / (2 - 1) * 2 - 1,
                    tanh(float(move[1])) * 2 / (3 - 1) + (j + 0.5) / (3 - 1) * 2 - 1,
                )
            )
    return points


@pytest.mark.parametrize("positions", ["table", "log", "conv", "none"])
def test_is_the_sum_written_by_hand(stirred, positions):
    options = {"kernel_size": 3, "positions": positions, "table_size": (4, 6)}
    module = stirred(DAT(8, 4, 2, **options))
    images = torch.randn(2, 8, 4, 6).double()
    y = module(images)
    for b in range(2):
        image = images[b]
        q = torch.stack([module.query(t) for t in image.flatten(1).T], 1)  # (8, 24)
        points = [points_by_hand(module, q.view(2, 4, 4, 6)[g]) for g in range(2)]
        sampled = [
            torch.cat([read(image[4 * g : 4 * g + 4], *points[g][m]) for g in range(2)])
            for m in range(6)
        ]
        k, v = [module.key(t) for t in sampled], [module.value(t) for t in sampled]
        for n in range(24):
            i, j, out = n // 6, n % 6, []
            for head in range(4):
                part, e = slice(2 * head, 2 * head + 2), []
                for m in range(6):
                    row, column = points[head // 2][m]
                    apart = i / 3 * 2 - 1 - row, j / 5 * 2 - 1 - column
                    bias = 0.0
                    if positions == "table":
                        bias = float(
                            read(module.table[head : head + 1], apart[0] / 2, apart[1] / 2)
                        )
                    if positions == "log":
                        near = [log2(1 + abs(4 * a)) / 3 * (1 if a > 0 else -1) for a in apart]
                        bias = float(module.distance(torch.tensor(near).double())[head % 2])
                    e.append(exp(float(q[part, n] @ k[m][part]) / sqrt(2) + bias))
                out.append(sum(w / sum(e) * v[m][part] for m, w in enumerate(e)))
            out = torch.cat(out)
            if positions == "conv":
                taps = F.pad(q.view(8, 4, 6), (1, 1, 1, 1))[:, i : i + 3, j : j + 3]
                out = out + (module.local.weight[:, 0] * taps).sum((1, 2)) + module.local.bias
            torch.testing.assert_close(y[b, :, i, j], module.proj(out), rtol=1e-5, atol=1e-5)


def test_points_move_no_further_than_their_range(stirred):
    x = torch.randn(1, 32, 8, 10).double()
    still, moved = DAT(32, offset_range=0.0), stirred(DAT(32))
    reference = still.points(x.float()).double()
    step = torch.tensor([2 / 3, 2 / 4]).double()  # 4 × 5 points between −1 and 1
    assert ((moved.points(x) - reference).abs() <= step + 1e-6).all()
    assert stirred(DAT(32, offset_range=None)).points(x).abs().max() <= 1


def test_without_moving_keys_are_means_of_squares(stirred):
    module = stirred(DAT(8, deform=False))
    x = torch.randn(2, 8, 6, 4).double()
    means = F.avg_pool2d(x, 2).flatten(2).mT
    v = module.value(means)
    wanted = module.proj(module.attention_map(x)[:, 0] @ v)
    torch.testing.assert_close(module(x).flatten(2).mT, wanted)


@pytest.mark.parametrize("options", [
    {}, {"positions": "log"}, {"positions": "conv"}, {"deform": False}, {"key_stride": 1},
])  # fmt: skip
def test_costs_are_stated_for_every_form(options):
    card, module = attention_info("dat"), DAT(64, 4, 2, **options).eval()
    stated = card.cost(module, 64, 8, 10)
    assert stated["parameters"] == sum(p.numel() for p in module.parameters())
    counted = count_multiply_adds(module, torch.randn(1, 64, 8, 10))
    assert stated["multiply_adds"] == pytest.approx(counted, rel=0.02)


def test_refusals():
    for options in (
        {"num_heads": 5},
        {"groups": 3},
        {"kernel_size": 4},
        {"key_stride": 0},
        {"positions": "sine"},
        {"table_size": 0},
    ):
        name, value = next(iter(options.items()))
        with pytest.raises(FovealError, match=f"{name}={value!r}"):
            DAT(64, **options)
