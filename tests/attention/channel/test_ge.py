from math import exp

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import GE, SE
from foveal.testing import check_attention


@pytest.mark.parametrize("extent", [2, 3])
def test_without_parameters_is_the_sum_written_by_hand(tiny, extent):
    """GE-θ⁻: the mean over 2E − 1 positions around every E-th, for the E positions from there."""
    y = GE(6, extent, extra_params=False, mlp=False)(tiny)
    for b in range(2):
        for c in range(6):
            for i in range(3):
                for j in range(4):
                    rows, columns = (-(-side // extent) for side in (3, 4))
                    up, left = (i * rows // 3) * extent, (j * columns // 4) * extent
                    near = [
                        float(tiny[b, c, r, s])
                        for r in range(max(0, up - extent + 1), min(3, up + extent))
                        for s in range(max(0, left - extent + 1), min(4, left + extent))
                    ]
                    weight = 1 / (1 + exp(-sum(near) / len(near)))
                    torch.testing.assert_close(y[b, c, i, j], tiny[b, c, i, j] * weight)


def test_with_parameters_gathers_with_strided_convolutions(stirred, tiny):
    ge = stirred(GE(6, hidden=2))
    first, norm, _, second, last_norm = ge.gather
    gathered = torch.zeros(2, 6, 2, 2).double()
    padded = F.pad(tiny, (1, 1, 1, 1))
    for i in range(2):
        for j in range(2):
            patch = padded[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            gathered[:, :, i, j] = (patch * first.weight[:, 0]).sum((2, 3))
    patch = F.pad(F.relu(norm(gathered)), (1, 1, 1, 1))[:, :, :3, :3]
    gathered = last_norm((patch * second.weight[:, 0]).sum((2, 3), keepdim=True))[..., 0, 0]
    hidden = F.relu(gathered @ ge.mix[0].weight[:, :, 0, 0].T + ge.mix[0].bias)
    weights = (hidden @ ge.mix[2].weight[:, :, 0, 0].T + ge.mix[2].bias).sigmoid()
    torch.testing.assert_close(ge(tiny), tiny * weights[..., None, None])


def test_over_the_whole_map_with_a_bottleneck_is_squeeze_and_excitation(stirred, tiny):
    ge, se = stirred(GE(6, 0, extra_params=False, hidden=2)), SE(6, hidden=2, bias=True).double()
    for ours, theirs in ((ge.mix[0], se.squeeze), (ge.mix[2], se.excite)):
        theirs.weight.data, theirs.bias.data = ours.weight[:, :, 0, 0], ours.bias
    torch.testing.assert_close(ge(tiny), se(tiny))


def test_a_global_kernel_is_a_weighted_sum_and_stretches(stirred, tiny):
    ge = stirred(GE(6, 0, size=(3, 4), mlp=False))
    conv, norm = ge.gather.conv, ge.gather.norm
    sums = (tiny * conv.weight[:, 0]).sum((2, 3), keepdim=True)
    torch.testing.assert_close(ge(tiny), tiny * norm(sums).sigmoid())
    twice = tiny.repeat_interleave(2, 2).repeat_interleave(2, 3)
    conv.weight.data[:] = conv.weight.mean((2, 3), keepdim=True)
    torch.testing.assert_close(ge.attention_map(twice), ge.attention_map(tiny))


@pytest.mark.parametrize(
    "options",
    [
        {"extent": 4, "extra_params": False},
        {"extent": 2, "mlp": False, "norm": False},
        {"extent": 0, "extra_params": False, "mlp": False},
        {"extent": 0, "size": (5, 6)},
    ],
)
def test_every_form_keeps_the_laws(options):
    laws = ["cost", "shape", "channels", "learning", "attention_map"]
    check_attention("ge", laws=laws, **options)


@pytest.mark.parametrize(
    "options",
    [{"extent": 1}, {"extent": -2}, {"extent": 6}, {"extent": 0}, {"size": 7}, {"act": "rellu"}],
)
def test_what_does_not_fit_is_refused(options):
    with pytest.raises(FovealError):
        GE(16, **options)


def test_the_maximum_can_be_added(tiny):
    for extent in (0, 2):
        ge = GE(6, extent, extra_params=False, mlp=False, add_max=True)
        with_max = ge.attention_map(tiny)
        ge.add_max = False
        assert (with_max > ge.attention_map(tiny)).all()
