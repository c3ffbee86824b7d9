from math import exp, sqrt

import pytest
import torch

import foveal
from foveal import FovealError
from foveal.attention import Temporal


def test_is_the_sum_written_by_hand(stirred):
    module = stirred(Temporal(4, num_heads=2))
    qkv, proj = module.attention.qkv, module.attention.proj
    x = torch.randn(2, 3, 4, 2, 2).double()
    y = module(x)
    for b in range(2):
        for i in range(2):
            for j in range(2):
                tokens = x[b, :, :, i, j]  # (3, 4): one position in three frames
                projected = tokens @ qkv.weight.T + qkv.bias
                rows = []
                for t in range(3):
                    heads = []
                    for h in range(2):
                        q, k, v = (
                            projected[:, 4 * p + 2 * h : 4 * p + 2 * h + 2] for p in range(3)
                        )
                        e = [exp(float(q[t] @ k[s]) / sqrt(2)) for s in range(3)]
                        heads.append(sum(e[s] / sum(e) * v[s] for s in range(3)))
                    rows.append(torch.cat(heads) @ proj.weight.T + proj.bias)
                torch.testing.assert_close(y[b, :, :, i, j], torch.stack(rows))


def test_positions_never_meet(stirred):
    module = stirred(Temporal(8))
    x = torch.randn(1, 4, 8, 3, 5).double()
    y = module(x)
    x[..., 1, 2] += 1
    changed = (module(x) != y).any(2).any(1)[0]
    assert changed.nonzero().tolist() == [[1, 2]]


def test_the_map_has_a_place_for_every_position(stirred):
    weights = stirred(Temporal(8)).attention_map(torch.randn(2, 4, 8, 3, 5).double())
    assert weights.shape == (2, 3, 5, 2, 4, 4)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 5, 2, 4).double())


def test_learns_in_a_video_network():
    torchvision = pytest.importorskip("torchvision")
    model = torchvision.models.video.r3d_18(num_classes=4)
    clip = torch.rand(1, 3, 4, 16, 16)
    report = foveal.insert(model, "temporal", where="layer2.1", example_input=clip)
    assert report.places[0].layout == "clip"
    assert report.heard
    assert report.largest_change == 0


def test_heads_must_divide_the_channels():
    with pytest.raises(FovealError, match="num_heads=3"):
        Temporal(8, num_heads=3)
