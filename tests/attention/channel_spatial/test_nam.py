from math import exp, sqrt

import torch

from foveal.attention import NAM


def test_is_the_sum_written_by_hand(stirred, tiny):
    nam = stirred(NAM(6))
    y, norm = nam(tiny), nam.norm
    total = sum(abs(float(gamma)) for gamma in norm.weight)
    for c in range(6):
        share = abs(float(norm.weight[c])) / total
        scale = float(norm.weight[c]) / sqrt(float(norm.running_var[c]) + norm.eps)
        for b in range(2):
            for i in range(3):
                for j in range(4):
                    value = float(tiny[b, c, i, j])
                    normed = (value - float(norm.running_mean[c])) * scale + float(norm.bias[c])
                    wanted = value / (1 + exp(-share * normed))
                    torch.testing.assert_close(float(y[b, c, i, j]), wanted)


def test_training_normalises_by_the_batch_and_remembers_it():
    nam, twin = NAM(4).train(), torch.nn.BatchNorm2d(4).train()
    torch.nn.init.uniform_(nam.norm.weight, 0.5, 2)
    twin.load_state_dict(nam.norm.state_dict())
    x = torch.randn(3, 4, 5, 5) + 2
    share = nam.norm.weight / nam.norm.weight.sum()
    torch.testing.assert_close(nam(x), x * (twin(x) * share[:, None, None]).sigmoid())
    torch.testing.assert_close(nam.norm.running_mean, twin.running_mean)
    torch.testing.assert_close(nam.norm.running_var, twin.running_var)


def test_channels_of_a_larger_scale_are_gated_more():
    nam = NAM(2).eval()
    nam.norm.weight.data = torch.tensor([1.0, 3.0])
    small, large = (nam.attention_map(torch.ones(1, 2, 1, 1)).flatten() - 0.5).abs()
    assert large > small


def test_no_scale_at_all_gates_by_a_half():
    nam = NAM(3)
    torch.nn.init.zeros_(nam.norm.weight)
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(nam.eval()(x), x / 2)
