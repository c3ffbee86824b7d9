"""The words of the notation for scales: pyramids, wavelets, and from coarse to fine."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from foveal.core.errors import FovealError
from foveal.core.layout import OnFrames
from foveal.core.signature import Layout
from foveal.mix.check import Checked, build_value, values
from foveal.mix.coarse_to_fine import CoarseToFine
from foveal.mix.feedback import WEIGHTINGS
from foveal.mix.join import JOINERS, Joiner
from foveal.mix.pyramid import Pyramid
from foveal.mix.scales import Scales
from foveal.mix.tree import Call, Expression, Literal, Value, plain
from foveal.mix.wavelet import Wavelet
from foveal.mix.weigh import Weighting
from foveal.mix.word import Word

if TYPE_CHECKING:
    from foveal.mix.build import Builder

ANY_CHANNELS = 8


class InScale(Word):
    """A word whose parts see a map at other sizes; of a video each frame by itself."""

    def speaks(self, call: Call, checked: Checked) -> Layout:
        return "map"

    def check(self, call: Call, checked: Checked) -> None:
        for part in self.operands(call, checked):
            if checked.speaks(part) == "video":
                told = f"{self.name} works on maps, and {part} takes a video"
                raise checked.fault(told, part.span)
        for option in call.options:
            if option.name not in ("join", "weights"):
                values(option.value, checked)

    def own(self, call: Call) -> dict[str, Any]:
        """Its own options, as Python has them."""
        return {o.name: plain(o.value) for o in call.options if o.name not in ("join", "weights")}

    def tried(self, call: Call, checked: Checked, make: Callable[[], nn.Module]) -> Any:
        """Made without memory, to hear what it says of its options."""
        try:
            with torch.device("meta"):
                return make()
        except (FovealError, TypeError) as error:
            raise checked.fault(str(error), call.span) from error

    def built(self, made: nn.Module, call: Call, builder: "Builder") -> nn.Module:
        made.notation = str(call)  # pyright: ignore[reportArgumentType]
        return OnFrames(made) if builder.layout == "video" else made


class Scaled(InScale):
    """One mix at every scale, with parameters of its own for each unless they are shared."""

    def __init__(self, name: str, cls: type[Scales], own: Sequence[str]):
        self.name, self.cls = name, cls
        self.options = ("levels", *own, "join", "weights", "shared", "negligible")
        self.example = f"{name}(sa_spatial, levels=2)"

    def operands(self, call: Call, checked: Checked) -> list[Expression]:
        return [self.only(call, checked)]

    def check(self, call: Call, checked: Checked) -> None:
        super().check(call, checked)
        trial = self.tried(
            call, checked, lambda: self.cls(ANY_CHANNELS, lambda _: nn.Identity(), **self.own(call))
        )
        join, weights = self.join(call), self.weights(call)
        checked.joiner(join, trial.scales, weights is not None)
        if weights is not None:
            checked.weights(weights, self.operands(call, checked) * trial.scales)

    def join(self, call: Call) -> Value:
        return call.option("join") or Call("mean")

    def weights(self, call: Call) -> Value | None:
        """Learned, unless they are given, or refused, or the joiner takes none."""
        given, join = call.option("weights"), self.join(call)
        if given is not None:
            return None if given == Literal(None) else given
        joiner = JOINERS.get(join.word) if isinstance(join, Call) else None
        return Call("learned") if joiner is None or joiner.weighable else None

    def build(self, call: Call, builder: "Builder") -> nn.Module:
        (part,) = self.operands(call, builder.checked)
        join, weights = self.join(call), self.weights(call)
        inner = builder.within("map")

        def joiner(channels: int, scales: int) -> Joiner:
            assert isinstance(join, Call)
            return build_value(join, JOINERS[join.word], channels, scales, {})

        def weighting(channels: int, scales: int) -> Weighting:
            assert isinstance(weights, Call)
            more = builder.checked.kinds_if(weights, [part] * scales)
            return build_value(weights, WEIGHTINGS[weights.word], channels, scales, more)

        made = self.cls(
            builder.channels,
            lambda _: inner.node(part),
            joiner=joiner,
            weighting=None if weights is None else weighting,
            **self.own(call),
        )
        return self.built(made, call, builder)


class FromCoarse(InScale):
    """One mix over the means of windows, and another inside the windows that it chooses."""

    name, options, example = "coarse_to_fine", ("window_size", "share"), "coarse_to_fine(eca, mhsa)"

    def operands(self, call: Call, checked: Checked) -> list[Expression]:
        if len(call.arguments) != 2:
            span = call.arguments[2].span if len(call.arguments) > 2 else call.span
            raise checked.fault(f"{self.name} takes two: write {self.example}", span)
        return [self.part(value, checked) for value in call.arguments]

    def check(self, call: Call, checked: Checked) -> None:
        super().check(call, checked)
        nothing = [lambda _: nn.Identity()] * 2
        self.tried(call, checked, lambda: CoarseToFine(ANY_CHANNELS, *nothing, **self.own(call)))

    def build(self, call: Call, builder: "Builder") -> nn.Module:
        coarse, fine = self.operands(call, builder.checked)
        inner = builder.within("map")
        made = CoarseToFine(
            builder.channels,
            lambda _: inner.node(coarse),
            lambda _: inner.node(fine),
            **self.own(call),
        )
        return self.built(made, call, builder)


IN_SCALE: tuple[Word, ...] = (
    Scaled("pyramid", Pyramid, ("kind",)),
    Scaled("wavelet", Wavelet, ("wavelet",)),
    FromCoarse(),
)
