import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import FocalModulation


@pytest.mark.parametrize("normalize", [False, True])
def test_is_the_sum_written_by_hand(stirred, tiny, normalize):
    focal = stirred(FocalModulation(6, kernel_size=1, num_levels=2, normalize=normalize))
    x = tiny[0]
    split = torch.einsum("oc,chw->ohw", focal.split.weight[..., 0, 0], x)
    split += focal.split.bias[:, None, None]
    q, context, gates = split[:6], split[6:12], split[12:]
    total = torch.zeros_like(x)
    for level, (conv, size) in enumerate(zip(focal.levels, (1, 3), strict=True)):
        padded = F.pad(context, (size // 2,) * 4)
        context = torch.zeros_like(context)
        for channel in range(6):
            for r in range(size):
                for c in range(size):
                    tap = padded[channel, r : r + 3, c : c + 4]
                    context[channel] += conv.weight[channel, 0, r, c] * tap
        context = F.gelu(context)
        for channel in range(6):
            total[channel] += gates[level] * context[channel]
    for channel in range(6):
        total[channel] += gates[2] * F.gelu(context[channel].mean())
    total = total / 3 if normalize else total
    modulator = torch.einsum("oc,chw->ohw", focal.modulator.weight[..., 0, 0], total)
    y = q * (modulator + focal.modulator.bias[:, None, None])
    wanted = torch.einsum("oc,chw->ohw", focal.proj.weight[..., 0, 0], y)
    torch.testing.assert_close(focal(tiny)[0], wanted + focal.proj.bias[:, None, None])


def test_levels_are_the_papers():
    """Kernels grow by two from level to level: with the mean, 3, 5 and everything."""
    focal = FocalModulation(8)
    assert [level.kernel_size[0] for level in focal.levels] == [3, 5]
    assert focal.attention_map(torch.rand(1, 8, 5, 4)).shape == (1, 3, 5, 4)


def test_gates_say_how_far_a_position_looks(stirred):
    """With the gates of the far levels shut, only the first convolution's neighbours are seen."""
    focal = stirred(FocalModulation(4))
    focal.split.weight[8:] = 0
    focal.split.bias[8:] = torch.tensor([1.0, 0, 0])
    x = torch.randn(1, 4, 7, 7, requires_grad=True, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(focal(x)[0, :, 3, 3].sum(), x)
    seen = gradient.abs().amax(1)[0] > 1e-12
    assert seen[2:5, 2:5].all()
    assert seen.sum() == 9


def test_post_norm_normalises_channels(stirred, tiny):
    plain, normed = FocalModulation(6).double(), FocalModulation(6, post_norm=True).double()
    normed.load_state_dict(plain.state_dict(), strict=False)
    for module in plain, normed:
        module.proj.weight.data = torch.eye(6).double()[..., None, None]
        module.proj.bias.data.zero_()
    wanted = F.layer_norm(plain(tiny).movedim(1, -1), (6,)).movedim(-1, 1)
    torch.testing.assert_close(normed(tiny), wanted)


@pytest.mark.parametrize("options", [{"kernel_size": 2}, {"growth": 1}, {"num_levels": 0}])
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError, match="all odd"):
        FocalModulation(8, **options)
