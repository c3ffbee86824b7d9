from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import SimAM


def test_is_the_sum_written_by_hand(tiny):
    y = SimAM(6, e_lambda=1e-2)(tiny)
    for b in range(2):
        for c in range(6):
            values = tiny[b, c].flatten().tolist()
            mu = sum(values) / 12
            variance = sum((t - mu) ** 2 for t in values) / 11
            wanted = [
                t / (1 + exp(-((t - mu) ** 2 / (4 * (variance + 1e-2)) + 0.5))) for t in values
            ]
            torch.testing.assert_close(y[b, c].flatten(), torch.tensor(wanted).double())


def test_the_weights_invert_the_least_energy_of_the_paper(tiny):
    """Eq. 5: e* = 4 (σ̂² + λ) / ((t − μ̂)² + 2 σ̂² + 2 λ), and the weight is σ(1 / e*)."""
    lam = 1e-4
    mu, var = tiny.mean((2, 3), keepdim=True), tiny.var((2, 3), keepdim=True)
    energy = 4 * (var + lam) / ((tiny - mu) ** 2 + 2 * var + 2 * lam)
    torch.testing.assert_close(SimAM(6).attention_map(tiny), (1 / energy).sigmoid())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_one_position_and_constant_maps_are_finite(dtype):
    for x in (torch.randn(2, 4, 1, 1), torch.ones(2, 4, 3, 3) * 7):
        x = x.to(dtype).requires_grad_()
        y = SimAM(4)(x)
        y.sum().backward()
        assert y.isfinite().all()
        assert x.grad.isfinite().all()


def test_half_precision_does_not_overflow():
    x = torch.randn(1, 4, 8, 8) * 1000  # squares of a million
    wanted = SimAM(4)(x)
    torch.testing.assert_close(SimAM(4)(x.half()).float(), wanted, rtol=2e-3, atol=1)


def test_lambda_must_be_positive():
    with pytest.raises(FovealError, match="e_lambda=0"):
        SimAM(4, e_lambda=0)
