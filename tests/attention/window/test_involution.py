import pytest
import torch

from foveal import FovealError
from foveal.attention import Involution


def test_is_the_sum_written_by_hand(stirred, tiny):
    involution = stirred(Involution(6, kernel_size=3, groups=2, hidden=4))
    y = involution(tiny)
    conv, bn, _ = involution.reduce
    for b in range(2):
        for h in range(3):
            for w in range(4):
                hidden = conv.weight[:, :, 0, 0] @ tiny[b, :, h, w]
                hidden = (hidden - bn.running_mean) / (bn.running_var + bn.eps).sqrt()
                hidden = (hidden * bn.weight + bn.bias).clamp(min=0)
                kernel = involution.write.weight[:, :, 0, 0] @ hidden + involution.write.bias
                for c in range(6):
                    wanted = 0.0
                    for r in range(3):
                        for s in range(3):
                            p, q = h + r - 1, w + s - 1
                            if 0 <= p < 3 and 0 <= q < 4:
                                weight = kernel[c // 3 * 9 + r * 3 + s]
                                wanted += weight * tiny[b, c, p, q]
                    torch.testing.assert_close(y[b, c, h, w], wanted)


def test_a_kernel_comes_from_its_position_alone(stirred, tiny):
    involution = stirred(Involution(6, kernel_size=3))
    changed = tiny.clone()
    changed[:, :, 1, 2] += 1
    apart = (involution.attention_map(changed) - involution.attention_map(tiny)).abs().sum((1, -1))
    assert (apart[:, 1, 2] > 0).all()
    apart[:, 1, 2] = 0
    assert not apart.any()


@pytest.mark.parametrize(("channels", "groups"), [(64, 4), (256, 16), (8, 1), (20, 1), (24, 1)])
def test_groups_have_sixteen_channels(channels, groups):
    involution = Involution(channels)
    assert involution.groups == groups
    assert (involution.kernel_size, involution.hidden) == (7, channels // 4)


@pytest.mark.parametrize(
    "options", [{"kernel_size": 4}, {"groups": 3}, {"groups": 0}, {"reduction": 0}, {"hidden": 0}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        Involution(16, **options)
