"""Numbers as a reader wants them: the digits that mean something, a dash for what is missing."""

from dataclasses import dataclass
from math import isfinite

from foveal.study.records import Study

LEVEL = "95 %"
"""The confidence of every interval that a study computes."""


@dataclass(frozen=True)
class Scale:
    """How a study's metric is written: the factor, the unit of a difference, the decimals."""

    metric: str = "accuracy"
    factor: float = 100
    unit: str = "%"
    difference_unit: str = "points"
    decimals: int = 1

    @property
    def title(self) -> str:
        """The metric at the beginning of a sentence.

        >>> Scale().title, Scale("mAP50-95").title
        ('Accuracy', 'mAP50-95')
        """
        return self.metric.capitalize() if self.metric.islower() else self.metric

    def value(self, x: float | None) -> str:
        """
        >>> Scale().value(0.9134), Scale().value(None)
        ('91.3', '–')
        """
        return "–" if x is None else f"{x * self.factor:.{self.decimals}f}".replace("-", "−")

    def signed(self, x: float | None) -> str:
        """
        >>> Scale().signed(0.0134), Scale().signed(-0.002), Scale().signed(-0.0002)
        ('+1.3', '−0.2', '0.0')
        """
        if x is None:
            return "–"
        text = f"{x * self.factor:+.{self.decimals}f}"
        return text[1:] if float(text) == 0 else text.replace("-", "−")

    def interval(self, low: float | None, high: float | None) -> str:
        """
        >>> Scale().interval(-0.004, 0.021)
        '−0.4 to +2.1'
        """
        return "–" if low is None or high is None else f"{self.signed(low)} to {self.signed(high)}"


def scale_of(study: Study) -> Scale:
    """Percent for a metric between 0 and 1, with as many decimals as its intervals deserve."""
    metric = str(study.config.get("metric", "accuracy")).replace("_", " ")
    values = [run.metric for run in study.runs if isfinite(run.metric)]
    share = all(0 <= value <= 1 for value in values)
    factor = 100 if share else 1
    ends = [comparison.smallest_effect for comparison in study.comparisons]
    for comparison in study.comparisons:
        if decided(comparison.verdict):
            ends += comparison.interval
    sizes = [abs(end) * factor for end in ends if isfinite(end)]
    decimals = 1
    while decimals < 3 and any(0 < size < 0.5 * 10**-decimals for size in sizes):
        decimals += 1  # an interval that leaves zero out must not be printed as touching it
    if share:
        return Scale(metric, decimals=decimals)
    return Scale(metric, 1, "", "", decimals + 1)


def decided(verdict: str | None) -> bool:
    return verdict in ("helps", "hurts")


def finite(x: float | None) -> float | None:
    """The number, or None for one that is missing, NaN or infinite."""
    return None if x is None or not isfinite(x) else x


def p_value(p: float | None) -> str:
    """
    >>> p_value(0.0342), p_value(0.00002), p_value(0.5), p_value(None)
    ('0.034', '<0.001', '0.50', '–')
    """
    if p is None:
        return "–"
    if p < 0.001:
        return "<0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def count(n: float | None, sign: bool = False) -> str:
    """A count in three digits.

    >>> count(11_181_642), count(532), count(2048, sign=True), count(0, sign=True), count(None)
    ('11.2 M', '532', '+2.05 k', '0', '–')
    """
    if n is None:
        return "–"
    size = abs(n)
    for limit, name in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if size >= 0.9995 * limit:
            digits = size / limit
            text = f"{digits:.{2 if digits < 9.995 else 1 if digits < 99.95 else 0}f}{name}"
            break
    else:
        text = f"{size:.0f}"
    before = "−" if n < 0 else "+" if sign and n > 0 else ""
    return before + text


def in_bytes(n: float | None) -> str:
    """
    >>> in_bytes(61_000_000), in_bytes(96), in_bytes(None)
    ('61.0 MB', '96 B', '–')
    """
    text = count(n)
    return text if n is None else f"{text}B" if text[-1].isalpha() else f"{text} B"


def percent(ratio: float | None) -> str:
    """How much more than the bare host, from a ratio.

    >>> percent(1.0312), percent(1.00002), percent(1.0), percent(0.9), percent(2.5)
    ('+3.1 %', '+0.002 %', '0 %', '−10 %', '+150 %')
    """
    if ratio is None:
        return "–"
    more = (ratio - 1) * 100
    if abs(more) < 5e-7:
        return "0 %"
    digits = 0 if abs(more) >= 9.95 else 1 if abs(more) >= 0.995 else 2
    while digits < 6 and abs(more) < 0.95 * 10**-digits:
        digits += 1
    return f"{more:+.{digits}f} %".replace("-", "−")


def times(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}"
