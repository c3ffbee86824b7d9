"""What one weight belongs to, read off the shape that `attention_map` declares and returns."""

import inspect
import re
from typing import get_args

from foveal.core.card import Card

_WORDS = {
    "c": "channels",
    "h": "rows",
    "w": "columns",
    "n": "positions",
    "m": "positions taken from",
    "t": "frames",
    "heads": "heads",
    "windows": "windows",
    "blocks": "blocks",
    "regions": "regions",
    "width": "channels of a path",
    "lines": "lines",
    "places": "places in a patch",
    "experts": "kernels",
    "paths": "paths",
    "radix": "branches",
    "groups": "groups",
    "g": "groups",
    "d": "channels of a head",
    "k": "neighbours",
    "taps": "neighbours",
    "keys": "positions taken from",
    "agents": "agents",
    "f": "frequencies along a row",
    "tiles": "tiles",
    "areas": "areas",
    "p": "neighbours",
    "q": "neighbours taken from",
    "looks": "places looked at",
    "share": "groups of channels",
    "weights": "groups of channels",
}
_FIXED = {
    "temporal": "a pair of positions in time",
    "cross": "a pair of positions, one of each input",
}
_FAMILIES = {
    "window": "a pair of positions, within a window",
    "branch": "a branch",
    "channel": "a channel",
    "spatial": "a position",
    "channel_spatial": "a value",
    "fusion": "a value",
    "head": "a class and a position",
}
_GROUPS = {"g", "groups", "share", "weights"}


_IN_FAMILY = {
    ("branch", "m"): "branches",
    ("window", "m"): "positions taken from",
    ("head", "k"): "classes",
    ("linear", "k"): "summaries",
    ("linear", "s"): "rows of the memory",
    ("linear", "tokens"): "descriptors",
}


def in_words(axis: str, axes: list[str], family: str) -> str:
    """What an axis runs over."""
    if axis.isdigit():
        return "branches" if family == "branch" else "parts"
    if axis == "m" and axes[-2:] == ["m", "m"]:
        return "lines"
    return _IN_FAMILY.get((family, axis)) or _WORDS.get(axis, axis)


def declared_axes(card: Card) -> list[str]:
    """The names of the axes of the weights, as `attention_map` is annotated with them; none, if it
    is not.

    >>> from foveal import attention_info
    >>> declared_axes(attention_info("eca"))
    ['b', 'c', '1', '1']
    """
    explain = getattr(card.cls, "attention_map", None)
    if explain is None:
        return []
    annotation = inspect.signature(explain).return_annotation
    if isinstance(annotation, str):
        return []
    for one in (annotation, *get_args(annotation)):
        if isinstance(getattr(one, "dim_str", None), str):
            return one.dim_str.split()
    return []


def belongs_to(card: Card) -> str:
    """What one weight belongs to, in words.

    >>> from foveal import attention_info
    >>> belongs_to(attention_info("eca")), belongs_to(attention_info("mhsa"))
    ('a channel', 'a pair of positions')
    """
    axes = [axis.lstrip("_#*") for axis in declared_axes(card)]
    own = [axis for axis in axes[1:] if axis != "1"]
    if "looks" in own:
        return "a position and a place it looks at"
    if card.family in _FIXED:
        return _FIXED[card.family]
    if not own or card.family == "head":
        return _FAMILIES.get(card.family, "a value")
    if "f" in own:
        return "a frequency of a channel"
    if card.family == "branch" and not {"n", "k", "h"} & set(own):
        if {"c", "width"} & set(own):
            return "a branch and a channel"
        return "a kernel" if "experts" in own else "a branch"
    return _pair(own, card.family) or _single(own, card.family)


def _single(own: list[str], family: str) -> str:
    named = set(own)
    if named == {"c"}:
        return "a channel"
    if named == {"c", "h", "w"}:
        return "a value"
    if named == {"h", "w"} or own == ["n"]:
        return "a position"
    if {"h", "w"} <= named and named - {"h", "w"} <= _GROUPS:
        return "a position, for each group of channels"
    if family == "linear" and len(own) > 1:
        return "a position and a summary"
    return _FAMILIES.get(family, "a pair of positions")


def _pair(own: list[str], family: str) -> str | None:
    if len(own) < 2:
        return None
    last = own[-2:]
    if last in (["c", "c"], ["d", "d"]):
        return "a pair of channels"
    if last == ["m", "m"]:
        return "a pair of lines"
    if last[0] == last[1] or last == ["n", "m"]:
        where = {"window": ", within a window", "linear": ", never formed"}.get(family, "")
        return f"a pair of positions{where}"
    if {"h", "w"} <= set(own) and {"k", "taps", "keys", "n"} & set(own):
        return "a position and a neighbour"
    return None


def said(card: Card) -> str:
    """What `attention_map` says of its weights, as one paragraph."""
    text = inspect.getdoc(getattr(card.cls, "attention_map", None)) or ""
    return re.sub(r"\s+", " ", text.split("\n\n")[0]).strip()
