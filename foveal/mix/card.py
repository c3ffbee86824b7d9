"""What is known of a mix without building it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from torch import nn

from foveal.core.card import Card
from foveal.core.errors import FovealError
from foveal.mix.check import Checked
from foveal.mix.cost import cost_of
from foveal.mix.formula import formula_of
from foveal.mix.mixture import MIXES, checked_notation
from foveal.mix.tree import Call, Expression


@dataclass(frozen=True)
class MixCard(Card):
    """The card of a mix, made of the cards of its parts."""

    expression: Expression = field(default=Call(""))
    parts: tuple[Card, ...] = ()
    """The cards of its mechanisms, each once, in the order of the notation."""

    def build(self, channels: int, **options: Any) -> nn.Module:
        return self.cls(channels, self.name)

    def check_options(self, options: Mapping[str, Any]) -> None:
        for option in options:
            raise FovealError(
                f"{self.name} is a mix and takes no option {option!r} from outside; write it in "
                f"its place, such as {self.parts[0].name}({option}={options[option]})"
            )

    @property
    def options(self) -> dict[str, Any]:
        return {}

    @property
    def doc(self) -> str:
        names = [card.name for card in self.parts]
        joined = ", ".join(names[:-1]) + " and " * (len(names) > 1) + names[-1]
        shape = {"map": "(B, C, H, W)", "tokens": "(B, N, C)", "video": "(B, T, C, H, W)"}
        costs = "the sum of the parts' and of what joins and weighs them"
        frames = self.layout == "video" and any(card.layout != "video" for card in self.parts)
        bound = "at most " * frames  # what a part does once for all frames is taken for each
        return (
            f"A mix of {joined}.\n\n$$y = {formula_of(self.expression)}$$\n\n"
            + "\n\n".join(f"{card.name}: {card.summary}" for card in self.parts)
            + f"\n\nShape: {shape[self.layout]} → the same. Parameters: {costs}. "
            f"Multiply-adds: {bound}{costs}."
        )

    def cost(
        self, module: nn.Module, channels: int, height: int, width: int, **sizes: int
    ) -> dict[str, int]:
        """The sum of what the cards of the parts, the joiners and the weightings state."""
        frames = sizes.get("T", 8) if self.layout == "video" else 1
        parameters, multiply_adds = cost_of(module, channels, height, width, frames)
        return {"parameters": round(parameters), "multiply_adds": round(multiply_adds)}

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | {"parts": [card.name for card in self.parts]}


@lru_cache(maxsize=256)
def mix_card(notation: str) -> MixCard:
    """The card of the mix that a notation describes.

    Raises:
        NotationError: if it cannot be read, or something in it is unknown or does not fit.

    >>> mix_card("eca>coord").name, mix_card("eca>coord").family
    ('eca > coord', 'mix')
    """
    checked = checked_notation(notation)
    parts = tuple({card.name: card for card in checked.cards(checked.tree)}.values())
    return MixCard(
        name=str(checked.tree),
        cls=MIXES[checked.layout],
        paper="; ".join(dict.fromkeys(card.paper for card in parts)),
        arxiv=None,
        family="mix",
        layout=checked.layout,
        limits=_limits(checked),
        expression=checked.tree,
        parts=parts,
    )


def _limits(checked: Checked) -> dict[str, str]:
    """What a part cannot keep, the mix cannot."""
    return {
        law: f"{card.name}: {reason}"
        for card in checked.cards(checked.tree)
        for law, reason in card.limits.items()
    }
