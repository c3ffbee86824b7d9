"""Which mechanisms are near one another, by what is known of them."""

import inspect
import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from docs.gallery.axes import belongs_to, declared_axes
from foveal.core.card import Card
from foveal.core.registry import attention_info, list_attentions

_SAME_FAMILY, _SAME_LAYOUT, _SAME_WEIGHT, _SAME_AXES = 2.0, 1.0, 2.0, 1.0
_SAME_PAPER, _MENTIONED, _MENTIONS_BACK, _OPTIONS = 2.0, 4.0, 2.0, 2.0


def neighbours(card: Card, count: int = 5) -> list[Card]:
    """The nearest mechanisms, nearest first; those named in the docstring stand before others."""
    others = [attention_info(name) for name in list_attentions() if name != card.name]
    return sorted(others, key=lambda other: (-_nearness(card, other), other.name))[:count]


def _nearness(card: Card, other: Card) -> float:
    mine, theirs = _traits(card.name), _traits(other.name)
    options = mine.options | theirs.options
    shared = len(mine.options & theirs.options) / len(options) if options else 0.0
    return (
        _SAME_FAMILY * (card.family == other.family)
        + _SAME_LAYOUT * (mine.inputs == theirs.inputs)
        + _SAME_WEIGHT * (mine.belongs_to == theirs.belongs_to)
        + _SAME_AXES * (mine.axes == theirs.axes)
        + _SAME_PAPER * (card.paper == other.paper)
        + _OPTIONS * shared
        + _MENTIONED * (other.name in mentioned(card))
        + _MENTIONS_BACK * (card.name in mentioned(other))
    )


class _Traits(NamedTuple):
    options: frozenset[str]
    inputs: tuple[str, ...]
    belongs_to: str
    axes: tuple[str, ...]


@cache
def _traits(name: str) -> _Traits:
    card = attention_info(name)
    inputs, axes = tuple(card.inputs.values()), tuple(declared_axes(card))
    return _Traits(frozenset(card.options), inputs, belongs_to(card), axes)


def mentioned(card: Card) -> frozenset[str]:
    """The mechanisms that a docstring names before its options."""
    return _mentioned(card.name)


@cache
def _mentioned(name: str) -> frozenset[str]:
    text = attention_info(name).doc.split("\nArgs:")[0]
    text = re.sub(r"\$\$.+?\$\$|^Placed:.+?\n\n", " ", text, flags=re.DOTALL | re.MULTILINE)
    found = set()
    for begin, end, other in spans(text):
        if other != name:
            found.add(other)
            text = text[:begin] + " " * (end - begin) + text[end:]
    return frozenset(found)


def spans(text: str) -> list[tuple[int, int, str]]:
    """Where a text names mechanisms: begin, end and name, none overlapping another, in order."""
    taken: list[tuple[int, int, str]] = []
    for alias, name in _aliases():
        cased = 0 if any(c.isupper() for c in alias) else re.IGNORECASE
        for found in re.finditer(rf"(?<![\w-]){re.escape(alias)}(?![\w-])", text, cased):
            begin, end = found.span()
            if all(end <= b or begin >= e for b, e, _ in taken):
                taken.append((begin, end, name))
    return sorted(taken)


@cache
def _aliases() -> Sequence[tuple[str, str]]:
    """What a mechanism is called in running text, longest first."""
    called: dict[str, str] = {}
    for name in list_attentions():
        card = attention_info(name)
        title = (inspect.getdoc(inspect.getmodule(card.cls)) or "").split("\n")[0]
        title = re.split(r"[.,(:]", title)[0].strip()
        for alias in (*_SPOKEN.get(name, ()), card.cls.__name__, title[:1].lower() + title[1:]):
            if len(alias) > 1 and alias not in _COMMON:
                called.setdefault(alias, name)
    return sorted(called.items(), key=lambda item: (-len(item[0]), item[0]))


_COMMON = frozenset(
    ("attention", "self-attention", "Temporal", "Linear", "external", "Axial", "simple")
)
"""Words that say nothing of which one."""

_SPOKEN = {
    "se": ("SE", "Squeeze-and-excitation"),
    "sk": ("Selective kernels", "selective kernel"),
    "nonlocal": ("non-local block",),
    "gc": ("global context block",),
    "mhsa": ("self-attention", "dot-product attention"),
    "swin": ("Swin",),
    "xca": ("XCiT",),
    "vip": ("Vision Permutator",),
    "halo": ("halo attention", "HaloNet"),
    "mobilevitv2": ("separable attention",),
    "axial_deeplab": ("position-sensitive axial attention",),
    "axial": ("axial attention",),
    "a2": ("double attention",),
    "external": ("external attention",),
    "flatten": ("focused linear attention",),
    "linear_elu": ("linear attention",),
    "sra": ("PVT",),
    "coord": ("coordinate attention",),
    "crisscross": ("criss-cross attention",),
    "triplet": ("triplet attention",),
    "nystrom": ("Nyström attention",),
}
"""Names beside the class's and the title of its file."""
