"""The cost formulas that a mechanism's docstring states, made computable.

A formula such as `2·C·H·W + kernel_size·C` is arithmetic over the input's `C`, `H`, `W` and
`N` = H·W, and over the attributes of the built module. Because it can be computed it can be
checked, and the conformance kit does so.
"""

import ast
import math
import operator
import re

from torch import nn

from foveal.core.errors import FovealError

_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
    ast.Mod: operator.mod,
}
_FUNCTIONS = {"min": min, "max": max, "ceil": math.ceil, "len": len, "sum": sum, "log2": math.log2}
_SIGNS = str.maketrans({"·": "*", "×": "*", "−": "-", "²": "**2", "³": "**3", "⁴": "**4"})


def evaluate_cost(
    formula: str, module: nn.Module, channels: int, height: int, width: int, **sizes: int
) -> float:
    """The value of a cost formula for one image of `height` × `width` positions.

    Args:
        formula: arithmetic with + - * · × / // % ², min, max, ceil, len, sum and log2.
        module: the built mechanism, whose attributes the formula may name.
        channels, height, width: the size of the feature map. For tokens, height · width = N.
        sizes: others that the formula may name: T, frames of a video, by default 8; M, positions of
            a second input, by default N.

    Raises:
        FovealError: if the formula names something the module does not have, is no arithmetic, or
            cannot be computed from what it names.

    >>> evaluate_cost("2·C² + H·W", nn.Identity(), channels=3, height=4, width=5)
    38
    """
    names = {"C": channels, "H": height, "W": width, "N": height * width}
    names |= {"T": 8, "M": names["N"]} | sizes

    def value(node: ast.AST):
        match node:
            case ast.Expression(body=body):
                return value(body)
            case ast.Constant(value=int() | float() as number):
                return number
            case ast.Name(id=name) if name in names:
                return names[name]
            case ast.Name(id=name) if hasattr(module, name):
                return getattr(module, name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -value(operand)
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
                return _OPERATORS[type(sign)](value(left), value(right))
            case ast.Call(func=ast.Name(id=name), args=args) if name in _FUNCTIONS:
                return _FUNCTIONS[name](*map(value, args))
        raise FovealError(
            f"cost formula {formula!r}: cannot compute {ast.unparse(node)!r}; use C, H, W, N, "
            f"numbers and attributes of {type(module).__name__}"
        )

    try:
        tree = ast.parse(" ".join(formula.split()).translate(_SIGNS), mode="eval")
    except SyntaxError as error:
        raise FovealError(f"cost formula {formula!r} is not arithmetic: {error.msg}") from error
    try:
        return value(tree)
    except (TypeError, ArithmeticError) as error:
        raise FovealError(f"cost formula {formula!r} cannot be computed: {error}") from error


def stated_cost(docstring: str, what: str) -> str | None:
    """The formula that follows `what:` in a docstring, up to the full stop that ends it.

    >>> stated_cost("Shape: same. Parameters: 2·C. Multiply-adds: C·H·W.", "Parameters")
    '2·C'
    """
    found = re.search(rf"\b{what}:\s*(.+?)\.(?=\s|$)", docstring, re.DOTALL)
    return " ".join(found[1].split()) if found else None
