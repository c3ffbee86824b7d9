"""A mechanism's card: what is known of it without building it."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from foveal.core.cost import evaluate_cost, stated_cost
from foveal.core.errors import FovealError, did_you_mean
from foveal.core.signature import Layout, inputs_of, need, output_of


@dataclass(frozen=True)
class Card:
    """What a registered mechanism says of itself.

    The decorator gives the name and the paper, the folder the family, the annotation of `forward`
    the layout, the signature the options, and the docstring the mathematics and the cost.
    """

    name: str
    cls: type[nn.Module] = field(repr=False)
    paper: str
    arxiv: str | None
    family: str
    layout: Layout
    limits: Mapping[str, str] = field(default_factory=dict)
    """Laws of the conformance kit that the mechanism cannot keep, each with the reason."""

    @property
    def inputs(self) -> dict[str, str]:
        """What `forward` cannot do without, by name, with the layout of each; the first is
        `layout`."""
        return inputs_of(self.cls)

    @property
    def output(self) -> str:
        """The layout that is returned; `scores` for a head."""
        return output_of(self.cls)

    @property
    def need(self) -> str | None:
        """Why the mechanism cannot stand in a model's place by itself, or None if it can."""
        return need(self.cls)

    @property
    def drop_in(self) -> bool:
        """Whether the mechanism takes one input and returns its shape, so that it can stand
        anywhere."""
        return self.need is None

    @property
    def options(self) -> dict[str, Any]:
        """The options and their defaults, as the constructor has them."""
        parameters = list(inspect.signature(self.cls).parameters.values())[1:]
        return {p.name: p.default for p in parameters}

    def build(self, channels: int, **options: Any) -> nn.Module:
        """A new module; options must be ones that `check_options` lets pass."""
        return self.cls(channels, **options)

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Refuse options that the mechanism does not take.

        Raises:
            FovealError: naming the first one, near ones, and all that there are.
        """
        for option in options:
            if option not in self.options:
                known = ", ".join(self.options) or "none"
                raise FovealError(
                    f"{self.name} has no option {option!r}{did_you_mean(option, self.options)} "
                    f"Its options: {known}"
                )

    @property
    def explanations(self) -> dict[str, str]:
        """What the docstring says of `channels` and of each option, by name."""
        sections = (p for p in self.doc.split("\n\n") if p.startswith("Args:"))
        entries = re.split(r"\n {4}(?=\S)", next(sections, ""))[1:]
        said = {}
        for entry in entries:  # one entry may name several
            names, _, text = entry.partition(":")
            said |= {name.strip(" *"): " ".join(text.split()) for name in names.split(",")}
        return said

    @property
    def doc(self) -> str:
        return inspect.cleandoc(self.cls.__doc__ or "")

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.doc.split("\n", 1)[0]

    @property
    def formula(self) -> str | None:
        """The mathematics, in LaTeX."""
        found = re.search(r"\$\$(.+?)\$\$", self.doc, re.DOTALL)
        return " ".join(found[1].split()) if found else None

    @property
    def shape(self) -> str | None:
        return stated_cost(self.doc, "Shape")

    @property
    def placed(self) -> str | None:
        """Where in a model the paper puts the mechanism, if the docstring tells."""
        return self._paragraph("Placed")

    @property
    def departs(self) -> str | None:
        """Where the mechanism departs from its paper, if it does."""
        return self._paragraph("Departs")

    def _paragraph(self, begins: str) -> str | None:
        pattern = rf"^{begins}:\s*(.+?)(?:\n\s*\n|\Z)"
        found = re.search(pattern, self.doc, re.DOTALL | re.MULTILINE)
        return " ".join(found[1].split()) if found else None

    @property
    def parameters(self) -> str | None:
        """The formula for the number of parameters."""
        return stated_cost(self.doc, "Parameters")

    @property
    def multiply_adds(self) -> str | None:
        """The formula for the multiply-adds of one image."""
        return stated_cost(self.doc, "Multiply-adds")

    @property
    def url(self) -> str | None:
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else None

    def cost(
        self, module: nn.Module, channels: int, height: int, width: int, **sizes: int
    ) -> dict[str, int]:
        """Parameters and multiply-adds of a built module by the card's own formulas.

        Args:
            sizes: others that the formulas name. T is the number of frames of a video, by default
                8; M the positions of a second input, by default as many as of the first.
        """
        formulas = {"parameters": self.parameters, "multiply_adds": self.multiply_adds}
        return {
            what: round(evaluate_cost(formula, module, channels, height, width, **sizes))
            for what, formula in formulas.items()
            if formula is not None
        }

    def as_dict(self) -> dict[str, Any]:
        """The card as plain data, for JSON."""
        plain = ("name", "paper", "arxiv", "url", "family", "layout", "summary", "formula")
        cost = ("shape", "parameters", "multiply_adds", "departs")
        place = ("inputs", "output", "drop_in", "placed")
        return {key: getattr(self, key) for key in plain + cost + place} | {
            "options": {name: _plain(value) for name, value in self.options.items()},
            "limits": dict(self.limits),
            "module": f"{self.cls.__module__}.{self.cls.__qualname__}",
        }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
