"""Which kind of study a configuration is of; packages that come later add kinds of their own."""

from collections.abc import Callable
from typing import Any

Reads = Callable[[dict[str, Any]], bool]
Loads = Callable[[], type]

_KINDS: list[tuple[Reads, Loads]] = []


def register_kind(reads: Reads, loads: Loads) -> None:
    """Add a kind of study.

    Args:
        reads: whether a YAML's content, as plain data, is one of this kind.
        loads: gives the class of its configuration, imported no sooner.
    """
    _KINDS.append((reads, loads))


def kind_of(content: Any) -> type | None:
    """The class of the configuration that a YAML's content asks for; None for the usual one."""
    if not isinstance(content, dict):
        return None
    return next((loads() for reads, loads in _KINDS if reads(content)), None)
