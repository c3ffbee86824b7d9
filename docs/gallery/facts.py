"""All that a page shows of one mechanism, gathered once."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from docs.gallery import axes, cost, laws, prose
from docs.gallery.diagram import diagram
from docs.gallery.example import example
from docs.gallery.neighbours import neighbours
from docs.gallery.originals import loaders
from docs.gallery.snippet import snippet
from foveal.core.card import Card
from foveal.core.registry import attention_info
from foveal.core.signature import IN_WORDS
from foveal.originals.registry import Original


@dataclass(frozen=True)
class Facts:
    """A mechanism's card, and what was computed, measured and tried."""

    card: Card
    laws: list[laws.Line]

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def takes(self) -> str:
        one = len(self.card.inputs) == 1
        said = [
            IN_WORDS[layout] if one else f"{name}, {IN_WORDS[layout]}"
            for name, layout in self.card.inputs.items()
        ]
        return " and ".join(said)

    @property
    def belongs_to(self) -> str:
        return axes.belongs_to(self.card)

    @cached_property
    def costs(self) -> list[cost.Cost]:
        return cost.costs(self.card)

    @property
    def cost_class(self) -> str | None:
        return cost.cost_class(self.costs)

    @property
    def exportable(self) -> bool:
        return laws.exportable(self.laws)

    @property
    def loaders(self) -> list[Original]:
        return loaders(self.name)

    @property
    def traffic(self) -> list[dict[str, str]]:
        return cost.traffic(self.name)

    @property
    def formulas(self) -> list[str]:
        return prose.formulas(self.card)

    @property
    def paragraphs(self) -> list[str]:
        return prose.paragraphs(self.card)

    @property
    def weights_said(self) -> str:
        return axes.said(self.card)

    @property
    def diagram(self) -> str:
        return diagram(self.card, example(self.card))

    @property
    def snippet(self) -> str:
        return snippet(self.card)

    @property
    def neighbours(self) -> list[Card]:
        return neighbours(self.card)


def gather(names: Iterable[str]) -> dict[str, Facts]:
    """The facts of each mechanism; laws that the record does not know are tried."""
    names = list(names)
    found = laws.results(names)
    return {name: Facts(attention_info(name), found[name]) for name in names}
