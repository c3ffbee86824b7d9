"""Checking a whole notation before anything is built."""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

from foveal.core.card import Card
from foveal.core.errors import FovealError, did_you_mean
from foveal.core.names import AMBIGUOUS
from foveal.core.registry import attention_info, list_attentions
from foveal.core.signature import Layout
from foveal.mix.fault import NotationError
from foveal.mix.feedback import WEIGHTINGS
from foveal.mix.join import JOINERS
from foveal.mix.tree import Call, Expression, Literal, Option, Parallel, Serial, Span, Value, plain

KINDS = {
    "channel": "channel",
    **dict.fromkeys(("spatial", "self_attention", "window", "linear"), "spatial"),
}
"""Families of which a branch weighs channels alone, or positions alone."""

ANY_CHANNELS = 64
"""For options of joiners and weightings, which fit any number of channels or none."""


class Checked:
    """A notation whose names, options and arrangement are known to fit.

    Args:
        tree: the tree.
        notation: the text that it was read from, for messages.

    Raises:
        NotationError: pointing at the first mistake.
    """

    def __init__(self, tree: Expression, notation: str):
        self.tree, self.notation = tree, notation
        self.expression(tree)
        self.layout: Layout = self.speaks(tree)

    def fault(self, reason: str, span: Span) -> NotationError:
        return NotationError(reason, self.notation, span)

    def expression(self, node: Value) -> None:
        from foveal.mix.words import WORDS

        match node:
            case Serial(parts=parts) | Parallel(branches=parts):
                for part in parts:
                    self.expression(part)
            case Call(word=word) if word in WORDS:
                word = WORDS[word]
                self.known_options(node, word.options)
                for part in word.operands(node, self):
                    self.expression(part)
                word.check(node, self)
            case Call():
                self.mechanism(node)
            case _:
                raise self.fault(f"{node} is no mechanism", node.span)

    def mechanism(self, call: Call) -> Card:
        card = self.card(call)
        if call.arguments:
            example = next(iter(card.options), None)
            how = f"by name, such as {example}=…" if example else "none"
            raise self.fault(f"{call.word} takes options {how}", call.arguments[0].span)
        self.known_options(call, card.options)
        for option in call.options:
            values(option.value, self)
        self.suits(call, card)
        return card

    def suits(self, call: Call, card: Card) -> None:
        """Refuse a mechanism that cannot stand here."""
        if card.need:
            raise self.fault(f"{call.word} cannot be part of a mix: it {card.need}", call.at)

    def card(self, call: Call) -> Card:
        from foveal.mix.words import WORDS

        try:
            return attention_info(call.word)
        except FovealError as error:
            if call.word.lower() in AMBIGUOUS:
                raise self.fault(str(error), call.at) from error
            if call.word in WEIGHTINGS:
                told = f"{call.word} is a weighting: write mean(a | b, weights={call.word})"
                raise self.fault(told, call.at) from error
            near = did_you_mean(call.word, [*list_attentions(), *WORDS])
            told = f"there is no attention {call.word!r}{near}"
            raise self.fault(told, call.at) from error

    def known_options(self, call: Call, options: Iterable[str]) -> None:
        options = list(options)
        for option in call.options:
            if option.name not in options:
                near = did_you_mean(option.name, options)
                known = f" Its options: {', '.join(options)}" if options else ""
                raise self.fault(
                    f"{call.word} has no option {option.name!r}{near}{known}", option.span
                )

    def parts(self, node: Value) -> Sequence[Expression]:
        """What an arrangement is made of; nothing, for a mechanism."""
        from foveal.mix.words import WORDS

        match node:
            case Serial(parts=parts) | Parallel(branches=parts):
                return parts
            case Call(word=word) if word in WORDS:
                return WORDS[word].operands(node, self)
        return ()

    def cards(self, node: Value) -> Iterator[Card]:
        """The cards of all mechanisms in it."""
        parts = self.parts(node)
        for part in parts:
            yield from self.cards(part)
        if not parts and isinstance(node, Call):
            yield self.card(node)

    def speaks(self, node: Expression) -> Layout:
        """The layout of an expression: that of the widest of its parts."""
        from foveal.mix.words import WORDS

        if isinstance(node, Call):
            if node.word in WORDS:
                return WORDS[node.word].speaks(node, self)
            return self.card(node).layout
        return self.widest(self.parts(node))

    def widest(self, parts: Sequence[Expression]) -> Layout:
        """A video holds maps, and a map holds tokens."""
        order: tuple[Layout, ...] = ("tokens", "map", "video")
        return max(map(self.speaks, parts), key=order.index)

    def kinds(self, branches: Sequence[Expression]) -> list[str]:
        """What each branch weighs: channels, positions, or both."""
        found = map(self._kinds, branches)
        return [kinds.pop() if len(kinds) == 1 else "both" for kinds in found]

    def _kinds(self, node: Expression) -> set[str]:
        from foveal.mix.words import WORDS

        if isinstance(node, Call):
            if node.word not in WORDS:
                return {KINDS.get(self.card(node).family, "both")}
            if WORDS[node.word].along_time:
                return {"both"}
        return set().union(*map(self._kinds, self.parts(node)))

    def weights(self, value: Value, branches: Sequence[Expression]) -> None:
        """Refuse what is no weighting of these branches."""
        if not isinstance(value, Call) or value.word not in WEIGHTINGS:
            word = value.word if isinstance(value, Call) else str(value)
            raise self.fault(
                f"{word} is no weighting{did_you_mean(word, WEIGHTINGS)} "
                f"There is: {', '.join(WEIGHTINGS)}",
                value.at if isinstance(value, Call) else value.span,
            )
        made = self.made(value, WEIGHTINGS[value.word], branches)
        if value.word == "preset" and made.task != "detection" and len(set(made.shares)) == 1:
            raise self.fault(
                f"preset({made.task}) has nothing to lean on: all branches weigh "
                f"{self.kinds(branches)[0]}, so that it would only be the mean",
                value.span,
            )

    def joiner(self, value: Value, branches: int, weighted: bool) -> None:
        """Refuse what is no joiner of outputs, given as a value such as `join=max`."""
        if not isinstance(value, Call) or value.word not in JOINERS:
            word = value.word if isinstance(value, Call) else str(value)
            raise self.fault(
                f"{word} joins nothing{did_you_mean(word, JOINERS)} There is: {', '.join(JOINERS)}",
                value.span,
            )
        joiner = JOINERS[value.word]
        if joiner.takes == "gates":
            raise self.fault(f"{value.word} joins gates of one input, not scales", value.span)
        if weighted and not joiner.weighable:
            raise self.fault(f"{value.word} weighs by itself and takes no weights=", value.span)
        self.made(value, joiner, [Call("any")] * branches)

    def made(self, call: Call, cls: type, branches: Sequence[Expression]) -> Any:
        """Built without memory, to hear what it says of its options."""
        own = list(inspect.signature(cls).parameters.values())[2:]
        named = [p.name for p in own if p.kind != p.VAR_POSITIONAL and p.name != "kinds"]
        self.known_options(call, named)
        places = [p.name for p in own if p.kind == p.POSITIONAL_OR_KEYWORD]
        variadic = any(p.kind == p.VAR_POSITIONAL for p in own)
        if len(call.arguments) > len(places) and not variadic:
            takes = ", ".join(places) or "options by name alone"
            raise self.fault(f"{call.word} takes {takes}", call.arguments[len(places)].span)
        for value in call.arguments:
            values(value, self)
        try:
            with torch.device("meta"):
                return build_value(
                    call, cls, ANY_CHANNELS, len(branches), self.kinds_if(call, branches)
                )
        except TypeError as error:
            lacking = [p for p in places if f"'{p}'" in str(error)]
            reason = f"{call.word} needs {lacking[0]}" if lacking else f"{call.word}: {error}"
            raise self.fault(reason, call.span) from error
        except FovealError as error:
            raise self.fault(str(error), call.span) from error

    def kinds_if(self, call: Call, branches: Sequence[Expression]) -> Mapping[str, Any]:
        return {"kinds": self.kinds(branches)} if call.word == "preset" else {}


def build_value(
    call: Call, cls: type, channels: int, branches: int, more: Mapping[str, Any]
) -> Any:
    """The joiner or weighting that a word with its options stands for."""
    arguments = [plain(value) for value in call.arguments]
    options = {option.name: plain(option.value) for option in call.options}
    return cls(channels, branches, *arguments, **options, **more)


def values(value: Value, checked: Checked) -> None:
    """Refuse mixes where a plain value must stand."""
    if isinstance(value, Serial | Parallel) or (
        isinstance(value, Call) and (value.arguments or value.options)
    ):
        raise checked.fault("a number, a word or a list must stand here", value.span)


def whole_number(call: Call, at: int, least: int, what: str, checked: Checked) -> int:
    """An argument that must be a whole number."""
    value = call.arguments[at] if len(call.arguments) > at else None
    number = value.value if isinstance(value, Literal) else None
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        span = value.span if value is not None else call.span
        raise checked.fault(f"{call.word} needs {what}, a whole number from {least} on", span)
    return number


def truth(option: Option | Value | None, call: Call, checked: Checked) -> bool:
    """An option that is true or false; false if it is not given."""
    if option is None:
        return False
    if not isinstance(option, Literal) or not isinstance(option.value, bool):
        raise checked.fault(f"{option} must be true or false", option.span)
    return option.value
