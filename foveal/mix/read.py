"""Reading the notation: characters to tokens, tokens to a tree.

mix      = serial { "|" serial } ;
serial   = part { ">" part } ;
part     = "(" mix ")" | word [ "(" [ argument { "," argument } [ "," ] ] ")" ] ;
argument = word "=" value | literal | mix ;
value    = literal | items | mix ;
items    = "(" ")" | "(" value "," [ value { "," value } [ "," ] ] ")" ;
literal  = number | '"' text '"' | "true" | "false" | "none" ;
"""

import re
from dataclasses import dataclass

from foveal.core.errors import FovealError
from foveal.mix.fault import NotationError
from foveal.mix.tree import (
    CONSTANTS,
    Call,
    Expression,
    Items,
    Literal,
    Option,
    Parallel,
    Serial,
    Span,
    Value,
)

DEEPEST = 40
"""Parentheses within each other; Python's own stack ends at some hundreds."""

_TOKENS = re.compile(
    r"""(?P<space>\s+)
    | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![A-Za-z0-9_.]))
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<text>"[^"\n]*")
    | (?P<sign>[()|>,=])""",
    re.VERBOSE,
)


def read(notation: str) -> Expression:
    """The tree of a notation.

    Raises:
        NotationError: if it is not written by the grammar; the message points at the place.

    >>> read("eca>coord | se( reduction = 8 )")  # doctest: +ELLIPSIS
    Parallel(branches=(Serial(parts=(Call(word='eca', ...
    >>> str(read("eca>coord | se( reduction = 8 )"))
    'eca > coord | se(reduction=8)'
    """
    if not isinstance(notation, str):
        raise FovealError(f"{notation!r} is no notation; write a text such as 'eca > coord'")
    return _Reader(notation).whole()


@dataclass(frozen=True)
class Token:
    kind: str
    """`word`, `number`, `text`, `end`, or the sign itself."""
    text: str
    span: Span


def tokens(notation: str) -> list[Token]:
    """What the text is made of, with an `end` at the end."""
    found, position = [], 0
    while position < len(notation):
        match = _TOKENS.match(notation, position)
        if match is None:
            raise NotationError(
                _strange(notation[position]), notation, Span(position, position + 1)
            )
        kind, text = str(match.lastgroup), match.group()
        if kind != "space":
            found.append(Token(text if kind == "sign" else kind, text, Span(*match.span())))
        position = match.end()
    return [*found, Token("end", "", Span(position, position + 1))]


def _strange(character: str) -> str:
    if character == '"':
        return "this quotation mark is never closed"
    if character in "[]{}":
        return f"{character!r} is not used; group and list with ( and )"
    if character == "'":
        return "texts stand in double quotation marks"
    if character.isdigit() or character in "+-.":
        return "this is no number"
    return f"{character!r} has no meaning in a mix"


class _Reader:
    """Reads one notation from its first token to its last."""

    def __init__(self, notation: str):
        self.notation = notation
        self.tokens = tokens(notation)
        self.position = 0
        self.open: list[Token] = []

    def whole(self) -> Expression:
        if self.here.kind == "end":
            raise self.fault("the notation is empty; write a mechanism such as eca")
        mix = self.mix()
        if self.here.kind == ")":
            raise self.fault("this parenthesis closes nothing")
        if self.here.kind != "end":
            raise self.fault(f"after {self.before.text!r} should stand > or |, or nothing")
        return mix

    @property
    def here(self) -> Token:
        return self.tokens[self.position]

    @property
    def before(self) -> Token:
        return self.tokens[self.position - 1]

    def step(self) -> Token:
        token = self.here
        self.position += 1
        return token

    def fault(self, reason: str, span: Span | None = None) -> NotationError:
        return NotationError(reason, self.notation, span or self.here.span)

    def mix(self) -> Expression:
        branches = [self.serial()]
        while self.here.kind == "|":
            self.step()
            branches.append(self.serial())
        if len(branches) == 1:
            return branches[0]
        return Parallel(tuple(branches), Span(branches[0].span.start, self.before.span.end))

    def serial(self) -> Expression:
        first = self.here.span.start
        parts = [self.part()]
        while self.here.kind == ">":
            self.step()
            parts.append(self.part())
        if len(parts) == 1:
            return parts[0]
        return Serial(tuple(parts), Span(first, self.before.span.end))

    def part(self) -> Expression:
        token = self.here
        if token.kind == "(":
            self.enter()
            mix = self.mix()
            self.leave()
            return mix
        if token.kind == "word" and token.text.lower() not in CONSTANTS:
            return self.call()
        after = self.before.text if self.position else None
        if token.kind == "end":
            if self.open and after == "(":
                raise self.fault("this parenthesis is never closed", self.open[-1].span)
            raise self.fault(f"a mechanism must follow {after!r}")
        where = f"after {after!r}" if after else "at the beginning"
        raise self.fault(f"a mechanism must stand {where}, not {token.text!r}")

    def enter(self) -> None:
        self.open.append(self.step())
        if len(self.open) > DEEPEST:
            raise self.fault(f"more than {DEEPEST} parentheses within each other", self.before.span)

    def leave(self) -> None:
        if self.here.kind == "end":
            raise self.fault("this parenthesis is never closed", self.open[-1].span)
        if self.here.kind != ")":
            if self.here.kind == "=":
                raise self.fault("an option's name is one word, before the =")
            raise self.fault(f"{self.here.text!r} is out of place; is a comma, > or | missing?")
        self.step()
        self.open.pop()

    def call(self) -> Call:
        word = self.step()
        arguments: list[Value] = []
        options: list[Option] = []
        if self.here.kind == "(":
            self.enter()
            while self.here.kind != ")":
                if self.here.kind == "word" and self.tokens[self.position + 1].kind == "=":
                    options.append(self.option(options))
                elif options:
                    raise self.fault("after options only options may stand, as name=value")
                else:
                    arguments.append(self.value())
                if self.here.kind != ",":
                    break
                self.step()
            self.leave()
        span = Span(word.span.start, self.before.span.end)
        return Call(word.text, tuple(arguments), tuple(options), span, word.span)

    def option(self, others: list[Option]) -> Option:
        name = self.step()
        if any(other.name == name.text for other in others):
            raise self.fault(f"{name.text} is given twice", name.span)
        self.step()
        return Option(name.text, self.value(), name.span)

    def value(self) -> Value:
        token = self.here
        if token.kind == "number":
            self.step()
            return Literal(_number(token.text), token.span)
        if token.kind == "text":
            self.step()
            return Literal(token.text[1:-1], token.span)
        if token.kind == "word" and token.text.lower() in CONSTANTS:
            self.step()
            return Literal(CONSTANTS[token.text.lower()], token.span)
        if token.kind == "(" and self.holds_items():
            return self.items()
        if token.kind in (",", ")", "end") and self.before.kind == "=":
            raise self.fault(f"{self.tokens[self.position - 2].text} has no value")
        return self.mix()

    def holds_items(self) -> bool:
        """Whether the parenthesis that opens here holds values and not a mix: nothing, a literal,
        or a comma that belongs to it."""
        inside, depth = self.tokens[self.position + 1 :], 0
        first = inside[0]
        if first.kind in ("number", "text", ")") or first.text.lower() in CONSTANTS:
            return True
        for token in inside:
            if token.kind == "," and depth == 0:
                return True
            depth += {"(": 1, ")": -1}.get(token.kind, 0)
            if depth < 0:
                break
        return False

    def items(self) -> Value:
        start = self.here.span.start
        self.enter()
        items: list[Value] = []
        comma = False
        while self.here.kind != ")":
            items.append(self.value())
            comma = self.here.kind == ","
            if not comma:
                break
            self.step()
        self.leave()
        if len(items) == 1 and not comma:  # (3) is 3
            return items[0]
        return Items(tuple(items), Span(start, self.before.span.end))


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)
