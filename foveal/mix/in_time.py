"""The words of the notation for video: of what in it a part sees something at a time."""

from typing import TYPE_CHECKING

from torch import nn

from foveal.core.layout import OnFrames, OnMap, OnTime, OnVolume
from foveal.core.signature import Layout
from foveal.mix.arrange import Chain
from foveal.mix.check import Checked
from foveal.mix.tree import Call, Expression, plain
from foveal.mix.word import Word

if TYPE_CHECKING:
    from foveal.mix.build import Builder

AXES = "space", "time"
Adapter = type[OnFrames] | type[OnTime] | type[OnVolume]


class InTime(Word):
    """A word that lets a mix over maps or tokens stand in one over video."""

    gives: str
    """What its part is given, for messages."""

    def speaks(self, call: Call, checked: Checked) -> Layout:
        return "video"

    def check(self, call: Call, checked: Checked) -> None:
        for part in self.operands(call, checked):
            found = part
            while checked.speaks(found) == "video":
                inner = [one for one in checked.parts(found) if checked.speaks(one) == "video"]
                if not inner:
                    told = f"{found} takes a whole video, and {self.name} gives it {self.gives}"
                    raise checked.fault(told, found.span)
                found = inner[0]

    def adapted(self, adapter: Adapter, part: Expression, builder: "Builder") -> nn.Module:
        """A part built for what the adapter gives it."""
        layout = builder.checked.speaks(part)
        built = builder.within(layout).node(part)
        return adapter(OnMap(built) if layout == "tokens" else built)


class Along(InTime):
    """A word for one way to see a video."""

    def __init__(self, name: str, adapter: Adapter, gives: str):
        self.name, self.adapter, self.gives = name, adapter, gives
        self.along_time = adapter is not OnFrames
        self.example = f"{name}(mhsa)"

    def operands(self, call: Call, checked: Checked) -> list[Expression]:
        return [self.only(call, checked)]

    def build(self, call: Call, builder: "Builder") -> nn.Module:
        (part,) = self.operands(call, builder.checked)
        return self.adapted(self.adapter, part, builder)


class Factorised(InTime):
    """One part in each frame and one over time, one after the other; the same mix for both, with
    parameters of its own for each, if only one is given."""

    name, options, example = "factorised", ("order",), "factorised(eca, mhsa)"
    gives = "frames, and then positions over time"
    along_time = True

    def operands(self, call: Call, checked: Checked) -> list[Expression]:
        self.only(call, checked, more=1)
        return [self.part(value, checked) for value in call.arguments]

    def check(self, call: Call, checked: Checked) -> None:
        super().check(call, checked)
        self.order(call, checked)

    def order(self, call: Call, checked: Checked) -> tuple[str, ...]:
        """Space and time, the first acted over first."""
        value = call.option("order")
        if value is None:
            return AXES
        order = plain(value)
        if not isinstance(order, tuple) or sorted(map(str, order)) != sorted(AXES):
            told = f"order={value} must be (space, time) or (time, space)"
            raise checked.fault(told, value.span)
        return order

    def build(self, call: Call, builder: "Builder") -> nn.Module:
        given = self.operands(call, builder.checked)
        seen: dict[str, tuple[Adapter, Expression]] = {
            "space": (OnFrames, given[0]),
            "time": (OnTime, given[-1]),
        }
        in_order = (seen[axis] for axis in self.order(call, builder.checked))
        return Chain(self.adapted(adapter, part, builder) for adapter, part in in_order)


IN_TIME: tuple[Word, ...] = (
    Along("frames", OnFrames, "single frames"),
    Along("time", OnTime, "the course of single positions"),
    Along("joint", OnVolume, "all frames as one map"),
    Factorised(),
)
