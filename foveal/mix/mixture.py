"""A mix: several mechanisms that stand where one can."""

from collections import Counter

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.explained import Range, attention_range
from foveal.core.registry import check_channels
from foveal.core.signature import check_inputs, in_words
from foveal.core.types import Map, Tokens, Video
from foveal.mix.build import Builder
from foveal.mix.check import Checked
from foveal.mix.read import read
from foveal.mix.tree import Expression
from foveal.mix.weigh import Weighting


class Mix(nn.Module):
    """Mechanisms arranged, joined and weighted as a notation says.

    Args:
        channels: channels C.
        notation: such as `"eca > coord"`; see docs/mix.md.

    Raises:
        NotationError: if the notation cannot be read or built; nothing is built then.
        FovealError: if the number of channels makes no sense.
    """

    layout = "map"

    def __init__(self, channels: int, notation: str):
        super().__init__()
        check_channels("a mix", channels)
        self.channels = channels
        checked = checked_notation(notation)
        if checked.layout != self.layout:
            raise FovealError(
                f"{notation} speaks {checked.layout} and not {self.layout}; create_attention "
                "chooses the class"
            )
        self.expression: Expression = checked.tree
        self.notation = str(checked.tree)
        """How the mix is written."""
        with torch.device("meta"):  # without memory: a value that does not fit is found out first
            Builder(checked, channels).node(checked.tree)
        self.body = Builder(checked, channels).node(checked.tree)

    def extra_repr(self) -> str:
        return self.notation

    def attention_map(self, x: Tensor) -> Tensor:
        """The weights of the branches where the outermost arrangement has weights that learn or
        come from the input; else the map of the part that acts last, or counts most."""
        return self.body.attention_map(x)  # pyright: ignore[reportCallIssue]

    def attention_range(self) -> Range | None:
        """The range of the map's values."""
        return attention_range(self.body)

    def weights(self, x: Tensor) -> dict[str, Tensor]:
        """The weights that the mix gives its branches for an input.

        Returns:
            For each arrangement that weighs its branches, by its notation, a tensor of (1 or B,
            branches, …), broadcastable to the branches' outputs stacked along axis 1. What runs
            several times has an entry for each time, the second called `… (2)` and so on.

        >>> mix = create_attention("max(eca | coord, weights=fixed(3, 1))", channels=16)
        >>> mix.weights(torch.rand(1, 16, 5, 5))["max(eca | coord, weights=fixed(3, 1))"].flatten()
        tensor([0.7500, 0.2500])
        """
        found: dict[str, Tensor] = {}
        times: Counter[str] = Counter()
        hooks = []
        for notation, weighting in self.weightings():

            def keep(_: nn.Module, __: object, weights: Tensor, notation: str = notation) -> None:
                times[notation] += 1
                again = f" ({times[notation]})" if times[notation] > 1 else ""
                found[notation + again] = weights

            hooks.append(weighting.register_forward_hook(keep))
        try:
            self(x)
        finally:
            for hook in hooks:
                hook.remove()
        return found

    def weightings(self) -> list[tuple[str, Weighting]]:
        """Every weighting, with the notation of the arrangement that it belongs to."""
        owner: dict[str, str] = {}
        found = []
        for path, module in self.named_modules():
            above = owner.get(path.rpartition(".")[0], "")
            owner[path] = (getattr(module, "notation", "") if path else "") or above
            if isinstance(module, Weighting):
                found.append((owner[path], module))
        return found

    def _checked(self, x: Tensor) -> Tensor:
        inputs = {"x": self.layout}
        check_inputs(self.notation, self, inputs, in_words(inputs), (x,), {})
        return self.body(x)


class MapMix(Mix):
    """A mix over maps (B, C, H, W)."""

    def forward(self, x: Map) -> Map:
        return self._checked(x)


class TokensMix(Mix):
    """A mix over tokens (B, N, C)."""

    layout = "tokens"

    def forward(self, x: Tokens) -> Tokens:
        return self._checked(x)


class VideoMix(Mix):
    """A mix over video (B, T, C, H, W)."""

    layout = "video"

    def forward(self, x: Video) -> Video:
        return self._checked(x)


MIXES: dict[str, type[Mix]] = {one.layout: one for one in (MapMix, TokensMix, VideoMix)}


def checked_notation(notation: str) -> Checked:
    """The tree of a notation, if everything in it is known and fits.

    Raises:
        NotationError: pointing at the first mistake.
    """
    return Checked(read(notation), notation)
