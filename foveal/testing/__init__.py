"""The conformance kit: the laws that every mechanism keeps, for ours and for anyone's.

check_attention("eca")
check_attention(MyModule, window_size=7, expected={"shape": "needs H, W divisible by 7"})
"""

from foveal.testing.kit import (
    LAWS,
    ConformanceError,
    Result,
    check_attention,
    examine,
    parametrize_with_checks,
)

__all__ = [
    "LAWS",
    "ConformanceError",
    "Result",
    "check_attention",
    "examine",
    "parametrize_with_checks",
]
