from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import Performer
from foveal.attention.linear.performer import orthogonal_features
from foveal.ops.attend import attention_weights


def test_is_the_sum_written_by_hand(stirred):
    module = stirred(Performer(6, num_heads=2, num_features=5))
    x = torch.randn(1, 4, 6).double()
    q, k, v = (x[0] @ module.qkv.weight.T).chunk(3, dim=-1)
    heads = []
    for h in range(2):
        own = slice(3 * h, 3 * h + 3)

        def phi(vector, greatest):
            vector = vector / 3**0.25
            return [
                (exp(float(w @ vector - vector @ vector / 2) - greatest) + 1e-4) / sqrt(5)
                for w in module.projection.double()
            ]

        scores = [[float(w @ k[j, own]) / 3**0.25 for w in module.projection] for j in range(4)]
        most = max(max(row) for row in scores)
        rows = []
        for i in range(4):
            own_most = max(float(w @ q[i, own]) / 3**0.25 for w in module.projection)
            features = phi(q[i, own], own_most)
            weights = [
                sum(a * b for a, b in zip(features, phi(k[j, own], most), strict=True))
                for j in range(4)
            ]
            rows.append(sum(w * v[j, own] for j, w in enumerate(weights)) / sum(weights))
        heads.append(torch.stack(rows))
    wanted = torch.cat(heads, dim=1) @ module.proj.weight.T + module.proj.bias
    torch.testing.assert_close(module(x)[0], wanted)


def test_directions_are_orthogonal_in_blocks():
    torch.manual_seed(0)
    directions = orthogonal_features(10, 4)
    assert directions.shape == (10, 4)
    for block in directions.split(4):
        products = block @ block.T
        torch.testing.assert_close(products, products.diagonal().diag(), atol=1e-4, rtol=0)


def test_many_features_approach_the_softmax():
    torch.manual_seed(0)
    module = Performer(8, num_heads=1, num_features=50000, eps=0.0).double()
    x = 0.7 * torch.randn(1, 6, 8).double()
    q, k, _ = module.qkv(x).chunk(3, dim=-1)
    torch.testing.assert_close(
        module.attention_map(x)[:, 0], attention_weights(q, k), atol=0.01, rtol=0
    )


def test_redrawing_changes_the_estimate_and_nothing_else():
    module = Performer(8)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    assert "projection" in state
    module.redraw()
    changed = [name for name, value in module.state_dict().items() if not value.equal(state[name])]
    assert changed == ["projection"]


def test_the_number_of_features_is_the_papers():
    assert Performer(512, num_heads=8).num_features == 266  # 64 · ln 64
    assert Performer(3, num_heads=3).num_features == 1


def test_options_are_checked():
    with pytest.raises(FovealError, match="num_features=0"):
        Performer(8, num_features=0)
    with pytest.raises(FovealError, match="no feature map 'gauss'"):
        Performer(8, feature="gauss")
    assert Performer(8, feature="relu", eps=1e-3)(torch.rand(1, 3, 8)).shape == (1, 3, 8)
