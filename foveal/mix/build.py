"""From a checked tree to modules."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from foveal.core.layout import OnFrames, OnMap
from foveal.core.registry import attention_info, create_attention
from foveal.core.signature import Layout
from foveal.mix.arrange import Arrangement, Branches, Chain
from foveal.mix.check import Checked, build_value
from foveal.mix.feedback import WEIGHTINGS
from foveal.mix.gates import is_small_gate
from foveal.mix.join import Joiner, Mean
from foveal.mix.tree import Call, Expression, Parallel, Serial, Value, plain
from foveal.mix.weigh import Weighting
from foveal.mix.words import WORDS


class Builder:
    """Builds the parts of one mix for a number of channels.

    Args:
        checked: the mix.
        channels: channels C.
        layout: what the parts are given. Default: the layout of the mix.

    Raises:
        NotationError: where a mechanism refuses its channels or the value of an option; the
            message points at the mechanism.
    """

    def __init__(self, checked: Checked, channels: int, layout: Layout | None = None):
        self.checked, self.channels = checked, channels
        self.layout = layout or checked.layout

    def within(self, layout: Layout) -> "Builder":
        """Builds parts that are given another layout than the whole."""
        return Builder(self.checked, self.channels, layout)

    def node(self, expression: Expression) -> nn.Module:
        match expression:
            case Serial(parts=parts):
                built: nn.Module = Chain(map(self.node, parts))
            case Parallel(branches=branches):
                built = self.branches(branches, Mean(self.channels, len(branches)), None)
            case Call(word=word) if word in WORDS:
                built = WORDS[word].build(expression, self)
            case _:
                return self.mechanism(expression)
        if isinstance(built, Arrangement):
            built.notation = str(expression)
        return built

    def branches(
        self, branches: Sequence[Expression], joiner: Joiner, weights: Value | None
    ) -> nn.Module:
        built = [self.node(branch) for branch in branches]
        weighting = None if weights is None else self.weighting(weights, branches)
        small = all(
            isinstance(branch, Call)
            and branch.word not in WORDS
            and is_small_gate(attention_info(branch.word))
            for branch in branches
        )
        return Branches(built, joiner, weighting, small_gates=small)

    def mechanism(self, call: Call) -> nn.Module:
        """A mechanism in the adapter that the layout asks for."""
        options = {option.name: plain(option.value) for option in call.options}
        try:
            built = create_attention(call.word, self.channels, **options)
        except Exception as error:  # whatever a value brings about, the place of it is known
            raise self.checked.fault(str(error), call.span) from error
        speaks = attention_info(call.word).layout
        if speaks == "tokens" and self.layout != "tokens":
            built, speaks = OnMap(built), "map"
        if speaks == "map" and self.layout == "video":
            built = OnFrames(built)
        return built

    def weighting(self, value: Value, branches: Sequence[Expression]) -> Weighting:
        assert isinstance(value, Call)
        return self.value(value, WEIGHTINGS[value.word], branches)

    def value(self, call: Call, cls: type, branches: Sequence[Expression]) -> Any:
        """A joiner or a weighting."""
        more = self.checked.kinds_if(call, branches)
        return build_value(call, cls, self.channels, len(branches), more)
