"""Which mechanisms are gates: they multiply their input by a map of factors, and no more."""

import inspect

from foveal.core.card import Card

NO_GATES = frozenset({"cpca", "gc", "mhca_next", "parnet", "shuffle", "strip_pool"})
"""Mechanisms whose map would fit the input, and which do more than multiply by it."""

MORE_FOR_THE_MAP = {"bam": 1, "cbam": 1}
"""Products for each value that the map of a gate takes, where `forward` has no use for them."""

_SMALL = ("'b c 1 1'", "'b 1 h w'")
_FITTING = ("'b c h w'", *_SMALL)


def is_gate(card: Card) -> bool:
    """Whether a mechanism's output is its input times its `attention_map`.

    >>> from foveal.core.registry import attention_info
    >>> is_gate(attention_info("eca")), is_gate(attention_info("mhsa"))
    (True, False)
    """
    return _gives(card, _FITTING)


def is_small_gate(card: Card) -> bool:
    """Whether it is a gate with one number for each channel, or one for each position.

    >>> from foveal.core.registry import attention_info
    >>> is_small_gate(attention_info("eca")), is_small_gate(attention_info("coord"))
    (True, False)
    """
    return _gives(card, _SMALL)


def _gives(card: Card, shapes: tuple[str, ...]) -> bool:
    read = getattr(card.cls, "attention_map", None)
    if read is None or card.name in NO_GATES or card.layout != "map":
        return False
    returned = str(inspect.signature(read).return_annotation)
    return "|" not in returned and any(shape in returned for shape in shapes)
