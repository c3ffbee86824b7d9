"""A mechanism's page, and the index of all: Markdown whose sections are HTML."""

import json
import re
from collections.abc import Mapping
from functools import cache
from inspect import Parameter
from itertools import groupby
from pathlib import Path

import jinja2
from markupsafe import Markup

from docs.gallery import laws
from docs.gallery.axes import belongs_to
from docs.gallery.cost import CLASSES, SIZES, Cost, cost_class, costs, share, short
from docs.gallery.facts import Facts
from docs.gallery.prose import rich
from foveal.core.card import Card
from foveal.core.registry import attention_info

FAMILIES = {
    "channel": "Channels",
    "spatial": "Positions",
    "channel_spatial": "Channels and positions",
    "branch": "Branches",
    "self_attention": "All pairs of positions",
    "window": "Pairs in a window",
    "linear": "Pairs never formed",
    "temporal": "Time",
    "cross": "Two inputs",
    "fusion": "Fusion",
    "head": "Heads",
    "block": "Whole blocks",
}
"""What a family is called; one that is not here is called as it is spelt."""

LAYOUTS = {"map": "maps", "tokens": "tokens", "video": "video"}
_SHAPE = re.compile(r"(\d+)x(\d+)x(\d+)x(\d+)")


def family_name(family: str) -> str:
    return FAMILIES.get(family, family.replace("_", " ").capitalize())


def page(facts: Facts) -> str:
    """A mechanism's page.

    Raises:
        FormulaError: if a formula cannot be converted.
        SnippetError: if its code does not run.
    """
    card = facts.card
    near = [(card, facts.costs), *((other, _costs(other.name)) for other in facts.neighbours)]
    text = _template("page.md.j2").render(
        facts=facts,
        card=card,
        family=family_name(card.family),
        rich=lambda text: Markup(rich(text)),
        markup=Markup,
        short=short,
        share=share,
        classes=CLASSES,
        law_words=laws.LAWS,
        options=_options(card),
        near=[_beside(other, found) for other, found in near],
        traffic=_traffic(facts),
        description=json.dumps(card.summary),
    )
    return _tidy(text)


def index(all_facts: Mapping[str, Facts]) -> str:
    """The table of all mechanisms, with its filters."""
    facts = list(all_facts.values())
    present = {f.card.family for f in facts}
    families = [f for f in FAMILIES if f in present] + sorted(present - set(FAMILIES))
    groups = {
        "family": {f: family_name(f) for f in families},
        "takes": {k: v for k, v in LAYOUTS.items() if any(f.card.layout == k for f in facts)},
        "cost": {k: k for k in CLASSES if any(f.cost_class == k for f in facts)},
        "also": {
            "exports": "exports to ONNX",
            "weights": "loads originals’ weights",
            "drop-in": "stands anywhere",
        },
    }
    here = Path(__file__).parent
    text = _template("index.md.j2").render(
        facts=facts,
        groups=groups,
        family_name=family_name,
        rich=lambda text: Markup(rich(text)),
        short=short,
        size=" × ".join(map(str, SIZES[1])),
        classes=CLASSES,
        script=Markup(here.joinpath("filter.js").read_text(encoding="utf-8")),
        also=_also,
    )
    return _tidy(text)


def _also(facts: Facts) -> str:
    marks = {"exports": facts.exportable, "weights": facts.loaders, "drop-in": facts.card.drop_in}
    return " ".join(name for name, holds in marks.items() if holds)


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _tidy(text: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _options(card: Card) -> list[tuple[str, str, Markup]]:
    """Every option, its default, and what the docstring says of it."""
    said = card.explanations
    return [
        (
            name,
            "" if default is Parameter.empty else repr(default),
            Markup(rich(said.get(name, ""))),
        )
        for name, default in card.options.items()
    ]


@cache
def _costs(name: str) -> list[Cost]:
    return costs(attention_info(name))


def _beside(card: Card, found: list[Cost]) -> dict[str, object]:
    return {
        "card": card,
        "belongs_to": belongs_to(card),
        "cost": found[1] if found else None,
        "class": cost_class(found),
    }


def _traffic(facts: Facts) -> list[tuple[str, list[dict[str, str]]]]:
    """Counted lines by shape; what channels last repeats exactly is left out."""
    shown = []
    figures = ("kernels", "moved", "peak", "saved")
    for shape, lines in groupby(facts.traffic, key=lambda line: line["shape"]):
        rows: list[dict[str, str]] = []
        for line in lines:
            twin = next((r for r in rows if r["mode"] == line["mode"]), None)
            if twin and all(twin[figure] == line[figure] for figure in figures):
                twin["format"] = "either"
            else:
                rows.append(dict(line))
        shown.append((_SHAPE.sub(r"\1 × \2 × \3 × \4", shape), rows))
    return shown
