"""A mix as a tree: what the notation is read to, and printed from.

`str` of a tree is its notation in one form, and reading that gives an equal tree. Places in the
text are kept for messages and do not count in comparisons.
"""

import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Span:
    """From where to where something stands in the text."""

    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class Literal:
    """A number, a text in quotation marks, true, false or none."""

    value: bool | int | float | str | None
    span: Span = field(default=Span(), compare=False, repr=False)

    def __str__(self) -> str:
        if isinstance(self.value, str):
            return f'"{self.value}"'
        return repr(self.value).lower()

    def __eq__(self, other: object) -> bool:  # 1, 1.0 and true are three values here
        return isinstance(other, Literal) and (
            (type(self.value), self.value) == (type(other.value), other.value)
        )

    def __hash__(self) -> int:
        return hash((type(self.value), self.value))


@dataclass(frozen=True)
class Items:
    """Several values in parentheses."""

    items: tuple["Value", ...]
    span: Span = field(default=Span(), compare=False, repr=False)

    def __str__(self) -> str:
        inner = ", ".join(map(str, self.items))
        return f"({inner},)" if len(self.items) == 1 else f"({inner})"


@dataclass(frozen=True)
class Option:
    """`name=value`."""

    name: str
    value: "Value"
    span: Span = field(default=Span(), compare=False, repr=False)
    """Of the name alone."""

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


@dataclass(frozen=True)
class Call:
    """A word with what it is given: a mechanism, a combinator, or a value that has options."""

    word: str
    arguments: tuple["Value", ...] = ()
    options: tuple[Option, ...] = ()
    span: Span = field(default=Span(), compare=False, repr=False)
    at: Span = field(default=Span(), compare=False, repr=False)
    """Where the word itself stands."""

    def __str__(self) -> str:
        inner = ", ".join(map(str, (*self.arguments, *self.options)))
        return f"{self.word}({inner})" if inner else self.word

    def option(self, name: str) -> "Value | None":
        """The value of an option, if it is given."""
        return next((one.value for one in self.options if one.name == name), None)


@dataclass(frozen=True)
class Serial:
    """`a > b`: one after the other."""

    parts: tuple["Expression", ...]
    span: Span = field(default=Span(), compare=False, repr=False)

    def __str__(self) -> str:
        return " > ".join(_inside(part, (Serial, Parallel)) for part in self.parts)


@dataclass(frozen=True)
class Parallel:
    """`a | b`: side by side on the same input."""

    branches: tuple["Expression", ...]
    span: Span = field(default=Span(), compare=False, repr=False)

    def __str__(self) -> str:
        return " | ".join(_inside(branch, (Parallel,)) for branch in self.branches)


Expression = Call | Serial | Parallel
"""What is a mechanism."""
Value = Literal | Items | Call | Serial | Parallel
"""What a word can be given."""

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
CONSTANTS = {"true": True, "false": False, "none": None}


def plain(value: Value) -> object:
    """A value as Python has it; a word alone is its own name.

    >>> plain(Items((Literal(3), Call("avg"))))
    (3, 'avg')
    """
    if isinstance(value, Literal):
        return value.value
    if isinstance(value, Items):
        return tuple(map(plain, value.items))
    return str(value)


def _inside(part: Expression, wrapped: tuple[type, ...]) -> str:
    return f"({part})" if isinstance(part, wrapped) else str(part)
