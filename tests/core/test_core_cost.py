"""Cost formulas as arithmetic."""

import pytest
from torch import nn

from foveal import FovealError
from foveal.core.cost import evaluate_cost, stated_cost


class Sized(nn.Module):
    hidden = 4
    sizes = (1, 2, 5)
    nothing = None
    H = 1000


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("2·C·H·W", 2 * 6 * 4 * 5),
        ("N² − C", 20**2 - 6),
        ("(2·C)²", 144),
        ("C³/hidden", 54.0),
        ("ceil(H/3)·ceil(W/3)·9", 2 * 2 * 9),
        ("C//4 + C % 4", 1 + 2),
        ("max(C//16, 1) × hidden", 4),
        ("min(C, 3) + len(sizes) + sum(sizes)", 3 + 3 + 8),
        ("−hidden + 10⁴", 9996),
        ("0.5·C", 3.0),
        ("C·log2(W + 3)", 18.0),
        ("H", 4),  # the input's height, whatever the module calls H
    ],
)
def test_arithmetic(formula, value):
    assert evaluate_cost(formula, Sized(), 6, 4, 5) == value


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("2·D", "cannot compute 'D'"),
        ("2·C·", "is not arithmetic"),
        ("", "is not arithmetic"),
        ("'text'", "cannot compute \"'text'\""),
        ("open(C)", "cannot compute"),
        ("__import__('os')", "cannot compute"),
        ("C if H else W", "cannot compute"),
        ("C.real", "cannot compute"),
        ("C·nothing", "cannot be computed"),
        ("C/(C − 6)", "cannot be computed"),
    ],
)
def test_what_is_not_arithmetic_is_refused_by_name(formula, message):
    with pytest.raises(FovealError, match=message) as raised:
        evaluate_cost(formula, Sized(), 6, 4, 5)
    assert repr(formula) in str(raised.value)


def test_statement_ends_at_its_full_stop():
    doc = "Shape: (B, C) → same. Parameters: 1.5·C\n    + 2. Multiply-adds: C.\n\nMore: text."
    assert stated_cost(doc, "Parameters") == "1.5·C + 2"
    assert stated_cost(doc, "Multiply-adds") == "C"
    assert stated_cost(doc, "Memory") is None
