"""The words of the notation that combine: what each takes, and what it builds."""

from typing import TYPE_CHECKING

from torch import nn

from foveal.core.registry import attention_info
from foveal.mix.arrange import Chain, Hierarchy, Recursion, Residual
from foveal.mix.check import Checked, truth, whole_number
from foveal.mix.gates import is_gate
from foveal.mix.in_scale import IN_SCALE
from foveal.mix.in_time import IN_TIME
from foveal.mix.join import JOINERS
from foveal.mix.tree import Call, Expression, Parallel, Value
from foveal.mix.word import Word

if TYPE_CHECKING:
    from foveal.mix.build import Builder

MOST_TIMES = 64


WHY_NOT = {
    "select": "each channel chooses its own from what the branches made of it",
    "product": "a weighted product is none of gates",
}


class Join(Word):
    """A joiner over branches."""

    def __init__(self, name: str):
        self.name, self.joiner = name, JOINERS[name]
        self.example = f"{name}(eca | sa_spatial)"
        own = ("reduction", "temperature") if name == "select" else ()
        self.options = ("weights", *own)

    def operands(self, call: Call, checked: Checked) -> list[Expression]:
        mix = self.only(call, checked)
        if not isinstance(mix, Parallel):
            raise checked.fault(f"{self.name} joins branches: write {self.example}", mix.span)
        return list(mix.branches)

    def check(self, call: Call, checked: Checked) -> None:
        branches = self.operands(call, checked)
        weights = call.option("weights")
        if weights is not None and not self.joiner.weighable:
            told = f"{self.name} takes no weights: {WHY_NOT[self.name]}"
            raise checked.fault(told, next(o.span for o in call.options if o.name == "weights"))
        if weights is not None:
            checked.weights(weights, branches)
        checked.made(self.value(call), self.joiner, branches)
        if self.joiner.takes == "gates":
            for branch in branches:
                named = isinstance(branch, Call) and branch.word not in WORDS
                if not (named and is_gate(attention_info(branch.word))):  # pyright: ignore
                    raise checked.fault(
                        f"{self.name} multiplies gates, and {branch} is none: choose mechanisms "
                        "that multiply their input by a map, or another joiner",
                        branch.span,
                    )

    def build(self, call: Call, builder: "Builder") -> nn.Module:
        branches = self.operands(call, builder.checked)
        joiner = builder.value(self.value(call), self.joiner, branches)
        return builder.branches(branches, joiner, call.option("weights"))

    def value(self, call: Call) -> Call:
        """The joiner's own options, as a value has them."""
        own = tuple(option for option in call.options if option.name != "weights")
        return Call(self.name, (), own, call.span, call.at)


class Repeat(Word):
    """The same part several times, with parameters of its own each time or shared by all."""

    name, options, example = "repeat", ("shared",), "repeat(eca, 3)"

    def operands(self, call: Call, checked: Checked) -> list[Expression]:
        return [self.only(call, checked, more=1)]

    def check(self, call: Call, checked: Checked) -> None:
        if self.times(call, checked) > MOST_TIMES:
            raise checked.fault(f"at most {MOST_TIMES} times", call.arguments[1].span)
        truth(call.option("shared"), call, checked)

    def times(self, call: Call, checked: Checked) -> int:
        return whole_number(call, 1, 1, "how many times", checked)

    def build(self, call: Call, builder: "Builder") -> nn.Module:
        (part,) = self.operands(call, builder.checked)
        times = self.times(call, builder.checked)
        if truth(call.option("shared"), call, builder.checked):
            return Recursion(builder.node(part), times)
        return Chain(builder.node(part) for _ in range(times))


class Residue(Word):
    """The input plus what a part makes of it."""

    name, example = "residual", "residual(eca)"

    def operands(self, call: Call, checked: Checked) -> list[Expression]:
        return [self.only(call, checked)]

    def build(self, call: Call, builder: "Builder") -> nn.Module:
        return Residual(builder.node(*self.operands(call, builder.checked)))


class Levels(Word):
    """Levels on top of each other, all of them weighted and projected."""

    name, options, example = "hierarchy", ("weights",), "hierarchy(se | sa_spatial, coord)"

    def operands(self, call: Call, checked: Checked) -> list[Expression]:
        if len(call.arguments) < 2:
            raise checked.fault(f"{self.name} joins levels: write {self.example}", call.span)
        return [self.part(value, checked) for value in call.arguments]

    def check(self, call: Call, checked: Checked) -> None:
        checked.weights(self.weights(call), self.operands(call, checked))

    def weights(self, call: Call) -> Value:
        return call.option("weights") or Call("learned")

    def build(self, call: Call, builder: "Builder") -> nn.Module:
        levels = self.operands(call, builder.checked)
        weighting = builder.weighting(self.weights(call), levels)
        return Hierarchy(builder.channels, map(builder.node, levels), weighting)


WORDS: dict[str, Word] = {
    word.name: word
    for word in (*map(Join, JOINERS), Repeat(), Residue(), Levels(), *IN_TIME, *IN_SCALE)
}
"""Every combining word by name."""
