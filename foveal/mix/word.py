"""What every combining word of the notation has."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from foveal.core.signature import Layout
from foveal.mix.check import Checked
from foveal.mix.tree import Call, Expression, Parallel, Serial, Value

if TYPE_CHECKING:
    from foveal.mix.build import Builder


class Word:
    """A word that makes a part of a mix out of others."""

    name: str
    options: Sequence[str] = ()
    example: str
    along_time: bool = False
    """Whether its parts run over time."""

    def operands(self, call: Call, checked: Checked) -> list[Expression]:
        """The parts that it combines, if it is given as many as it needs."""
        raise NotImplementedError

    def check(self, call: Call, checked: Checked) -> None:
        """Refuse what does not fit, once the parts are known to be right."""

    def speaks(self, call: Call, checked: Checked) -> Layout:
        """The layout that it takes and returns."""
        return checked.widest(self.operands(call, checked))

    def build(self, call: Call, builder: "Builder") -> nn.Module:
        raise NotImplementedError

    def only(self, call: Call, checked: Checked, more: int = 0) -> Expression:
        """The one part that it is given, beside `more` numbers."""
        if not call.arguments:
            raise checked.fault(f"{self.name} is given nothing: write {self.example}", call.span)
        if len(call.arguments) > 1 + more:
            extra = call.arguments[1 + more]
            raise checked.fault(f"{self.name} takes no more: write {self.example}", extra.span)
        return self.part(call.arguments[0], checked)

    def part(self, value: Value, checked: Checked) -> Expression:
        if not isinstance(value, Call | Serial | Parallel):
            raise checked.fault(f"a mechanism must stand here: {self.example}", value.span)
        return value
