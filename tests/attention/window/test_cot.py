import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import CoT


def norm(layer, x):
    shape = (-1,) + (1,) * (x.ndim - 1)
    mean, var = layer.running_mean.view(shape), layer.running_var.view(shape)
    x = (x - mean) / (var + layer.eps).sqrt()
    return x * layer.weight.view(shape) + layer.bias.view(shape)


@pytest.mark.parametrize("point_groups", [1, 2])
def test_is_the_sum_written_by_hand(stirred, point_groups):
    cot = stirred(CoT(8, groups=2, share=4, point_groups=point_groups, min_hidden=3))
    x = torch.randn(2, 8, 3, 4).double()
    y = cot(x)
    for b in range(2):
        context = F.conv2d(x[b], cot.context[0].weight, padding=1, groups=2)
        context = norm(cot.context[1], context).clamp(min=0)

        def point(layer, image):
            return F.conv2d(image, layer.weight, layer.bias, groups=point_groups)

        hidden = point(cot.embed_x, x[b]) + point(cot.embed_context, context)
        scores = point(cot.weigh[2], norm(cot.weigh[0], hidden).clamp(min=0)).view(2, 9, 3, 4)
        weights = torch.zeros_like(scores)
        for g in range(2):  # normalised over the neighbours and the image
            centred = scores[g] - scores[g].mean()
            weights[g] = centred / (centred.square().mean() + 1e-5).sqrt()
        weights *= cot.weigh[3].weight.view(2, 9, 1, 1)
        weights += cot.weigh[3].bias.view(2, 9, 1, 1)
        value = norm(cot.value[1], point(cot.value[0], x[b]))
        gathered = torch.zeros(8, 3, 4).double()
        for c in range(8):
            group = c // 4 if point_groups == 2 else c % 2
            for i in range(3):
                for j in range(4):
                    for t in range(9):
                        r, s = i + t // 3 - 1, j + t % 3 - 1
                        if 0 <= r < 3 and 0 <= s < 4:
                            gathered[c, i, j] += weights[group, t, i, j] * value[c, r, s]
        gathered = norm(cot.act[0], gathered)
        gathered = gathered * gathered.sigmoid()
        means = (gathered + context).mean((1, 2))
        squeezed = norm(cot.squeeze[1], cot.squeeze[0].weight @ means).clamp(min=0)
        choice = (cot.choose.weight @ squeezed + cot.choose.bias).view(8, 2).exp()
        choice = choice / choice.sum(1, keepdim=True)
        wanted = choice[:, 0, None, None] * gathered + choice[:, 1, None, None] * context
        torch.testing.assert_close(y[b], wanted)


@pytest.mark.parametrize(
    ("channels", "groups", "weights"), [(64, 4, 8), (256, 4, 32), (20, 4, 4), (6, 3, 1), (7, 1, 1)]
)
def test_groups_and_shares_are_the_papers_or_fit(channels, groups, weights):
    cot = CoT(channels)
    assert cot.groups == groups
    assert cot.weight_channels == weights


def test_the_choice_is_as_wide_as_the_authors():
    assert CoT(64).choice_hidden == 32
    assert CoT(256).choice_hidden == 128


@pytest.mark.parametrize(
    "options",
    [{"kernel_size": 2}, {"groups": 3}, {"share": 5}, {"point_groups": 3}, {"point_groups": 0}],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        CoT(16, **options)
