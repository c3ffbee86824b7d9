import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import GAM


@pytest.mark.parametrize(("groups", "gate"), [(1, "sigmoid"), (2, "identity")])
def test_is_the_sum_written_by_hand(stirred, tiny, groups, gate):
    gam = stirred(GAM(6, hidden=2, kernel_size=3, groups=groups, gate=gate))
    y = gam(tiny)

    def normalised(conv, bn, x):
        """A grouped convolution of a map (c, 3, 4), tap by tap, and the batch norm."""
        outputs, together = conv.weight.shape[:2]
        padded, z = F.pad(x, (1, 1, 1, 1)), torch.zeros(outputs, 3, 4).double()
        for o in range(outputs):
            first = o // (outputs // groups) * together
            for c in range(together):
                for i in range(3):
                    for j in range(3):
                        z[o] += conv.weight[o, c, i, j] * padded[first + c, i : i + 3, j : j + 4]
        z = (z - bn.running_mean[:, None, None]) / (bn.running_var + bn.eps).sqrt()[:, None, None]
        return z * bn.weight[:, None, None] + bn.bias[:, None, None]

    for b in range(2):
        z = torch.zeros_like(tiny[b])
        for h in range(3):
            for w in range(4):
                here, (first, _, last, _) = tiny[b, :, h, w], gam.channel
                hidden = (first.weight[..., 0, 0] @ here + first.bias).clamp(min=0)
                score = last.weight[..., 0, 0] @ hidden + last.bias
                z[:, h, w] = here * (score.sigmoid() if gate == "sigmoid" else score)
        hidden = normalised(*gam.spatial[:2], z).clamp(min=0)
        weights = normalised(*gam.spatial[3:5], hidden).sigmoid()
        if groups == 2:
            weights = weights[[0, 3, 1, 4, 2, 5]]
        torch.testing.assert_close(y[b], z * weights)


def test_the_defaults_are_the_papers():
    gam = GAM(64)
    assert gam.hidden == 16
    assert gam.spatial[0].kernel_size == (7, 7)


@pytest.mark.parametrize(
    "options", [{"kernel_size": 6}, {"groups": 3}, {"groups": 4}, {"shuffle": 3}, {"gate": "step"}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        GAM(8, **options)
