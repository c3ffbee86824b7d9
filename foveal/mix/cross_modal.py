"""Two modalities that ask one another."""

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError, did_you_mean
from foveal.core.layout import OnFrames, OnMap
from foveal.core.registry import attention_info, check_channels, create_attention
from foveal.core.signature import IN_WORDS, Layout, check_inputs
from foveal.mix.across import Across


@dataclass(frozen=True)
class Modality:
    """One of the inputs of `CrossModal`.

    Args:
        name: for messages, and in the state dict.
        layout: `"map"` (B, C, H, W), `"tokens"` (B, N, C) or `"video"` (B, T, C, H, W).
        channels: channels C.
        mix: what it makes of itself first: a mechanism or a mix by its notation. Default: nothing.

    Raises:
        FovealError: if the name cannot stand in a state dict, or the layout or the channels make no
            sense.

    >>> Modality("image", "map", 256, "eca > coord").layout
    'map'
    """

    name: str
    layout: Layout
    channels: int
    mix: str | None = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or hasattr(nn.ModuleDict, self.name):
            raise FovealError(f"name={self.name!r} must be a word such as 'image' or 'text'")
        if self.layout not in ("map", "tokens", "video"):
            layouts = ("map", "tokens", "video")
            near = did_you_mean(str(self.layout), layouts)
            raise FovealError(
                f"{self.name}: layout={self.layout!r} must be one of {', '.join(layouts)}{near}"
            )
        check_channels(self.name, self.channels)

    def build(self) -> nn.Module:
        """What it makes of itself, in the adapter that its layout asks for."""
        if self.mix is None:
            return nn.Identity()
        card = attention_info(self.mix)
        if card.need:
            raise FovealError(f"{self.name}: {self.mix} {card.need}")
        order = ("tokens", "map", "video")
        wider = order.index(card.layout) > order.index(self.layout)
        if wider:
            raise FovealError(
                f"{self.name}: {self.mix} takes {IN_WORDS[card.layout]}, and {self.name} is "
                f"{IN_WORDS[self.layout]}"
            )
        built = create_attention(self.mix, self.channels)
        if card.layout == "tokens" and self.layout != "tokens":
            built = OnMap(built)
        if self.layout == "video" and card.layout != "video":
            built = OnFrames(built)
        return built

    def check(self, x: Tensor) -> None:
        """Refuse what is not of its layout and channels."""
        words = {self.name: IN_WORDS[self.layout]}
        module = SimpleNamespace(channels=self.channels)
        layouts = {self.name: self.layout}
        called = f"CrossModal: {self.name}"
        check_inputs(called, module, layouts, words, (x,), {})  # pyright: ignore[reportArgumentType]


class CrossModal(nn.Module):
    r"""Two inputs, each attending within itself, and then one asking the other, or both.

    $$y_i = p_i\,\big(u_i + p_j\, C_i(u_i, u_j)\big), \qquad u_i = A_i(x_i)$$

    $A_i$ is the mix of modality i and $C_i$ the mechanism `across`, with parameters of its own in
    each direction; of one that fuses (`aff`, `iaff`) the result stands in the place of the sum. Who
    does not ask returns u. p says for each example which modality is there.

    What is absent is set to 0 before it is seen and so is all that is made of it: its values, not
    even NaN, reach no output and no gradient, and the other modality returns what it does alone,
    `forward(x, None)`. Only a batch norm in training mode sees that there are zeros in the batch.

    Parameters: those of both mixes and of the mechanisms between them. Multiply-adds: theirs, and
    N·C of each side that asks.

    Args:
        first, second: the modalities, of any layouts; positions of maps and videos are tokens to a
            mechanism over tokens.
        across: a mechanism with two inputs, and its options: `"cross_attention(num_heads=4)"`.
        asks: `"both"`, or the name of the modality that asks.

    Raises:
        NotationError: if a notation cannot be read or built; the message points at the place.
        FovealError: if the modalities do not fit each other, their mixes or the mechanism. Nothing
            is built then. When called: for inputs of other shapes, or a mask that is none.

    >>> image, text = Modality("image", "map", 32, "eca > coord"), Modality("text", "tokens", 48)
    >>> both = CrossModal(image, text)
    >>> there = torch.tensor([[True, True], [True, False]])  # the second image has no text
    >>> [y.shape for y in both(torch.rand(2, 32, 5, 7), torch.rand(2, 9, 48), there)]
    [torch.Size([2, 32, 5, 7]), torch.Size([2, 9, 48])]
    """

    def __init__(
        self,
        first: Modality,
        second: Modality,
        *,
        across: str = "cross_attention",
        asks: str = "both",
    ):
        super().__init__()
        self.modalities = first, second
        names = [first.name, second.name]
        if names[0] == names[1]:
            raise FovealError(f"both modalities are called {names[0]!r}: give each its own name")
        if asks not in ("both", *names):
            near = did_you_mean(str(asks), ["both", *names])
            raise FovealError(f"asks={asks!r} must be 'both', {names[0]!r} or {names[1]!r}{near}")
        crossing = Across(across)
        if crossing.of_maps and (first.layout, second.layout) != ("map", "map"):
            told = f"{across} takes two maps, and not {first.layout} and {second.layout}"
            raise crossing.fault(told, crossing.call.at)
        self.notation, self.asks = str(crossing.call), asks
        self.adds, self.of_maps = crossing.adds, crossing.of_maps
        with torch.device("meta"):  # without memory: what does not fit is found out first
            self._build(crossing)
        self._build(crossing)

    def _build(self, crossing: Across) -> None:
        first, second = self.modalities
        self.own = nn.ModuleDict({one.name: one.build() for one in self.modalities})
        self.across = nn.ModuleDict(
            {
                one.name: crossing.build(one.channels, other.channels)
                for one, other in ((first, second), (second, first))
                if self.asks in ("both", one.name)
            }
        )

    def extra_repr(self) -> str:
        mixes = (f"{one.name}={one.mix}" for one in self.modalities)
        return f"{', '.join(mixes)}, across={self.notation}, asks={self.asks}"

    def forward(
        self, first: Tensor | None, second: Tensor | None, present: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Both modalities, each of the shape it was given.

        Args:
            first, second: of the layouts of the modalities; None for one that no example has.
            present: (B, 2) booleans, which modality each example has. Default: both. What is
                absent is returned as zeros.
        """
        made = self._made(first, second, present)
        returned: list[Tensor | None] = []
        for i, one in enumerate(self.modalities):
            u, other = made[i], made[1 - i]
            if u is not None and other is not None and one.name in self.across:
                u = self._asked(one.name, u, other, present, 1 - i)
            returned.append(u if u is None else _kept(u, present, i))
        return returned[0], returned[1]

    def attention_map(
        self, first: Tensor, second: Tensor, present: Tensor | None = None
    ) -> dict[str, Tensor]:
        """By the name of who asks, how it weighs the other, as the mechanism shows it; zeros where
        one of them is absent."""
        made = self._made(first, second, present)
        maps = {}
        for i, one in enumerate(self.modalities):
            if one.name in self.across:
                pair = self._pair(made[i], made[1 - i])  # pyright: ignore[reportArgumentType]
                weights = self.across[one.name].attention_map(*pair)  # pyright: ignore
                maps[one.name] = _kept(_kept(weights, present, 0), present, 1)
        return maps

    def _made(self, *given: Tensor | None) -> list[Tensor | None]:
        """What each modality makes of itself, 0 having been put for what is absent."""
        *inputs, present = given
        self._check(inputs, present)
        return [
            None if x is None else self.own[one.name](_kept(x, present, i))
            for i, (one, x) in enumerate(zip(self.modalities, inputs, strict=True))
        ]

    def _asked(
        self, name: str, u: Tensor, other: Tensor, present: Tensor | None, which: int
    ) -> Tensor:
        """What a modality comes to by asking the other, where that is there."""
        y = self.across[name](*self._pair(u, other))
        y = y if self.of_maps else _as(u, y)
        if self.adds:
            return u + _kept(y, present, which)
        return y if present is None else torch.where(_column(present, which, u), y, u)

    def _pair(self, u: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        return (u, other) if self.of_maps else (_tokens(u), _tokens(other))

    def _check(self, inputs: list[Tensor | None], present: Tensor | None) -> None:
        there = [x for x in inputs if x is not None]
        if not there:
            raise FovealError("CrossModal is given neither modality")
        for one, x in zip(self.modalities, inputs, strict=True):
            if x is not None:
                one.check(x)
        sizes = [x.shape[0] for x in there]
        if sizes[0] != sizes[-1]:
            raise FovealError(
                f"CrossModal takes two inputs of one batch, got {sizes[0]} and {sizes[1]}"
            )
        if present is None:
            return
        if present.dtype != torch.bool or tuple(present.shape) != (sizes[0], 2):
            names = " and ".join(one.name for one in self.modalities)
            raise FovealError(
                f"present says of each example whether {names} are there: booleans of shape "
                f"({sizes[0]}, 2), not {present.dtype} of {tuple(present.shape)}"
            )


def _column(present: Tensor, which: int, like: Tensor) -> Tensor:
    """Which examples have a modality, as a mask of something of theirs."""
    return present[:, which].reshape(-1, *[1] * (like.ndim - 1))


def _kept(x: Tensor, present: Tensor | None, which: int) -> Tensor:
    """x, and 0 in the place of examples without a modality, so that nothing of them is left: not
    NaN, and no gradient."""
    return x if present is None else x.masked_fill(~_column(present, which, x), 0)


def _tokens(x: Tensor) -> Tensor:
    """Every position as a token."""
    if x.ndim == 3:
        return x
    return x.flatten(2).mT if x.ndim == 4 else x.movedim(2, -1).flatten(1, 3)


def _as(x: Tensor, tokens: Tensor) -> Tensor:
    """Tokens as the positions of x."""
    if x.ndim == 3:
        return tokens
    if x.ndim == 4:
        return tokens.mT.unflatten(2, x.shape[2:])
    return tokens.unflatten(1, (x.shape[1], *x.shape[3:])).movedim(-1, 2)
