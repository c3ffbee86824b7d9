from math import exp

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import EPSA
from foveal.attention.branch.epsa import groups_by_size


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("channels", [8, 7])
def test_is_the_sum_written_by_hand(stirred, shared, channels):
    epsa = stirred(EPSA(channels, (1, 3), groups=(1, 1), hidden=2, shared_gate=shared))
    x = torch.randn(2, channels, 3, 4).double()
    y = epsa(x)
    for b in range(2):
        maps, gates = [], []
        for path, k in enumerate((1, 3)):
            padded = F.pad(x[b], (k // 2,) * 4)
            u = torch.zeros(4, 3, 4).double()
            for o in range(4):
                for i in range(channels):
                    for r in range(k):
                        for s in range(k):
                            weight = epsa.paths[path].weight[o, i, r, s]
                            u[o] += weight * padded[i, r : r + 3, s : s + 4]
            first, _, last, _ = epsa.gates[0 if shared else path]
            hidden = (first.weight @ u.mean((1, 2)) + first.bias).clamp(min=0)
            maps.append(u)
            gates.append((last.weight @ hidden + last.bias).sigmoid().tolist())
        wanted = []
        for path in (1, 0):  # the last path's channels come first
            for c in range(4):
                total = sum(exp(gate[c]) for gate in gates)
                wanted.append(exp(gates[path][c]) / total * maps[path][c])
        torch.testing.assert_close(y[b], torch.stack(wanted)[8 - channels :])


def test_weights_of_the_paths_sum_to_one(stirred):
    x = torch.randn(2, 16, 5, 6).double()
    weights = stirred(EPSA(16)).attention_map(x)
    assert weights.shape == (2, 4, 4, 1, 1)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 4, 1, 1).double())
    assert weights.max() / weights.min() < exp(1) * 4


def test_groups_are_the_papers():
    """G = 2^((K − 1) / 2), 1 for the smallest: kernels 3, 5, 7, 9 with 1, 4, 8, 16 groups."""
    assert [groups_by_size(k) for k in (3, 5, 7, 9)] == [1, 4, 8, 16]
    assert [path.groups for path in EPSA(64).paths] == [1, 4, 8, 16]
    assert [path.groups for path in EPSA(24).paths] == [1, 3, 6, 6]


def test_every_path_reads_all_channels(stirred):
    epsa = stirred(EPSA(16))
    x = torch.randn(1, 16, 5, 5).double().requires_grad_()
    for path in epsa.paths:
        (gradient,) = torch.autograd.grad(path(x).sum(), x)
        assert (gradient.abs().sum((0, 2, 3)) > 0).all()


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": (3, 4)},
        {"kernel_size": ()},
        {"kernel_size": (3, 5), "groups": (1,)},
        {"groups": (1, 4, 8, 16)},
        {"reduction": 0},
        {"hidden": 0},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        EPSA(16, **options)
