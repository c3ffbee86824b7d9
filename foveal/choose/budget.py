"""What a device allows, as people write it: `8GB`, `20ms` or `1.2x`, `2%` or `50k`."""

import math
import re
from dataclasses import dataclass

from foveal.core.errors import FovealError

BYTES = {"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
MILLISECONDS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
COUNTS = {"": 1, "k": 1e3, "m": 1e6, "b": 1e9}


@dataclass(frozen=True)
class Budget:
    """The most that the model may take with attention in it; None where nothing is said."""

    memory: int | None = None
    """Bytes that a forward pass of one image holds: weights, buffers, input and activations."""
    milliseconds: float | None = None
    """Median time of a forward pass of one image."""
    ratio: float | None = None
    """The same as a multiple of the bare model's."""
    parameters: int | None = None
    """Parameters added."""
    share: float | None = None
    """Parameters added, as a share of the bare model's."""

    def parameters_of(self, bare: int) -> int | None:
        """How many parameters may be added to a model that has `bare`."""
        return self.parameters if self.share is None else int(self.share * bare)


def read_budget(
    memory: str | float | None = None,
    latency: str | None = None,
    parameters: str | float | None = None,
) -> Budget:
    """Read a budget.

    Args:
        memory: `8GB`, `512MB` (powers of 1000), `8GiB` (of 1024), or a number of bytes.
        latency: `20ms`, or `1.2x` for 1.2 times the bare model's.
        parameters: to be added: `50000`, `50k`, `2M`, or `2%` of the bare model's.

    Raises:
        FovealError: naming the value, the rule and what to write instead.

    >>> read_budget("8GB", "1.2x", "2%")
    Budget(memory=8000000000, milliseconds=None, ratio=1.2, parameters=None, share=0.02)
    """
    milliseconds, ratio = _latency(latency)
    number, share = _parameters(parameters)
    return Budget(_memory(memory), milliseconds, ratio, number, share)


def _memory(value: str | float | None) -> int | None:
    if value is None:
        return None
    number, unit = _split("memory", value, "a number of bytes such as 8GB, 512MB or 8GiB")
    if (unit or "b") not in BYTES:
        raise _refused("memory", value, "has no unit of bytes; write 8GB, 512MB or 8GiB")
    return round(number * BYTES[unit or "b"])


def _latency(value: str | None) -> tuple[float | None, float | None]:
    if value is None:
        return None, None
    number, unit = _split("latency", value, "a time such as 20ms, or a multiple such as 1.2x")
    if unit in ("x", "×"):
        if number < 1:
            raise _refused("latency", value, "must be 1x or more: attention makes no model faster")
        return None, number
    if unit not in MILLISECONDS:
        raise _refused("latency", value, "needs a unit: 20ms, or 1.2x of the bare model's time")
    return number * MILLISECONDS[unit], None


def _parameters(value: str | float | None) -> tuple[int | None, float | None]:
    if value is None:
        return None, None
    number, unit = _split("parameters", value, "a number such as 50k or 2M, or a share such as 2%")
    if unit == "%":
        return None, number / 100
    if unit not in COUNTS:
        raise _refused("parameters", value, "has an unknown unit; write 50000, 50k, 2M or 2%")
    return round(number * COUNTS[unit]), None


def _split(name: str, value: object, rule: str) -> tuple[float, str]:
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e[0-9]+)?)\s*([a-zµ×%]*)\s*", str(value).lower())
    if isinstance(value, bool) or found is None:
        raise _refused(name, value, f"must be {rule}")
    number = float(found[1])
    if not (math.isfinite(number) and number > 0):
        raise _refused(name, value, f"must be above 0: {rule}; leave it out for no limit")
    return number, found[2]


def _refused(name: str, value: object, rule: str) -> FovealError:
    return FovealError(f"{name}={value!r} {rule}")
