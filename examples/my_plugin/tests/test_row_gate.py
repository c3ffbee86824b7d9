"""What the mechanism's own description says; the laws common to all are the kit's."""

import pytest
import torch

from foveal import FovealError, create_attention
from foveal.testing import parametrize_with_checks


@parametrize_with_checks("row_gate")
def test_conformance(check):
    check()


def test_rows_are_gated_by_hand():
    gate = create_attention("row_gate", channels=2, kernel_size=3)
    x = torch.rand(1, 2, 4, 5)
    means = [0.0, *(x[0, :, row].mean().item() for row in range(4)), 0.0]
    kernel, bias = gate.conv.weight.flatten().tolist(), gate.conv.bias.item()
    for row in range(4):
        score = sum(kernel[i] * means[row + i] for i in range(3)) + bias
        wanted = x[0, :, row] * torch.tensor(score).sigmoid()
        torch.testing.assert_close(gate(x)[0, :, row], wanted)


def test_even_kernel_is_refused():
    with pytest.raises(FovealError, match="kernel_size=4 must be odd"):
        create_attention("row_gate", channels=8, kernel_size=4)
