"""What a mechanism costs: by its card's formulas, and as counted by `benchmarks/traffic.py`."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from foveal.core.card import Card
from foveal.core.registry import create_attention

SIZES = (64, 56, 56), (256, 28, 28), (512, 14, 14)
TRAFFIC = Path(__file__).parents[2] / "benchmarks" / "traffic.csv"
CLASSES = {
    "slight": "less than a hundredth",
    "light": "less than a quarter",
    "moderate": "less than once",
    "heavy": "once or more",
}
"""How often the multiply-adds of a 3 × 3 convolution, at 256 × 28 × 28."""


@dataclass(frozen=True)
class Cost:
    """What the formulas give at one size."""

    size: tuple[int, int, int]
    parameters: int
    multiply_adds: int

    @property
    def convolutions(self) -> float:
        """The multiply-adds, as a share of those of a 3 × 3 convolution of as many channels."""
        channels, height, width = self.size
        return self.multiply_adds / (9 * channels**2 * height * width)


def costs(card: Card) -> list[Cost]:
    """The cost at three sizes, with default options; none, if the card has no formulas."""
    if card.parameters is None or card.multiply_adds is None:
        return []
    found = []
    for channels, height, width in SIZES:
        try:
            with torch.device("meta"):
                module = create_attention(card.name, channels)
        except (RuntimeError, NotImplementedError):  # reads a number while it is built
            module = create_attention(card.name, channels)
        figures = card.cost(module, channels, height, width)
        found.append(Cost((channels, height, width), **figures))
    return found


def cost_class(found: list[Cost]) -> str | None:
    """How heavy a mechanism is, by its multiply-adds at the middle size."""
    if not found:
        return None
    share = found[1].convolutions
    limits = dict(zip(CLASSES, (0.01, 0.25, 1.0), strict=False))
    return next((name for name, limit in limits.items() if share < limit), "heavy")


def short(number: float) -> str:
    """A number in three digits at most.

    >>> short(0), short(12), short(33413), short(1_234_567), short(115_605_504)
    ('0', '12', '33.4 k', '1.23 M', '116 M')
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= 0.9995 * size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def share(part: float) -> str:
    """A share in per cent, or from once on as a multiple.

    >>> share(0.0034731), share(11.12)
    ('0.35 %', '11 ×')
    """
    return f"{100 * part:.2g} %" if part < 0.995 else f"{part:.2g} ×"


@cache
def _lines() -> dict[str, list[dict[str, str]]]:
    table: dict[str, list[dict[str, str]]] = {}
    if TRAFFIC.exists():
        with TRAFFIC.open(encoding="utf-8") as file:
            for line in csv.DictReader(file):
                table.setdefault(line["mechanism"], []).append(line)
    return table


def traffic(name: str) -> list[dict[str, str]]:
    """The counted lines of a mechanism, in the order of the file; none, if it was not counted."""
    return _lines().get(name, [])
