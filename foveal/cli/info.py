"""`foveal info`: a mechanism's card."""

import re
import textwrap
from inspect import Parameter
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from foveal.cli.output import AsJson, console, print_json
from foveal.core.card import Card
from foveal.core.registry import attention_info
from foveal.core.signature import in_words

READABLE = 100
"""Longest line of running text."""


def info(
    name: Annotated[
        str, typer.Argument(help="A name of `foveal list`, or a mix such as 'eca > coord'.")
    ],
    json: AsJson = False,
) -> None:
    """Show a mechanism's card: paper, mathematics, options, cost.

    Examples: foveal info cbam · foveal info cbam --json
    """
    card = attention_info(name)
    if json:
        print_json(card.as_dict())
        return
    console.print(f"[bold]{escape(card.name)}[/bold]")
    facts = {
        "paper": card.paper,
        "link": card.url,
        "family": card.family,
        "takes": _takes(card),
        "drop-in": f"no: it {card.need}" if card.need else None,
        **{f"not {law}": why for law, why in card.limits.items()},
    }
    console.print(_grid([(key, value) for key, value in facts.items() if value], "dim"))
    for paragraph in card.doc.split("\n\n"):
        if paragraph.startswith("Args:"):
            console.print("\n[bold]Options[/bold]")
            console.print(_grid(_options(card), "bold"))
        else:
            console.print()
            console.print(escape(_flowing(paragraph)), soft_wrap=True, highlight=False)
    console.print(f"\n{escape(_example(card))}", highlight=False)


def _grid(rows: list[tuple[str, str]], style: str) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=style, no_wrap=True)
    grid.add_column(max_width=READABLE)
    for key, value in rows:
        grid.add_row(f"  {escape(key)}", escape(value))
    return grid


def _options(card: Card) -> list[tuple[str, str]]:
    """Every option with its default and what the docstring says of it."""
    said = card.explanations
    rows = []
    for option, default in card.options.items():
        value = "" if default is Parameter.empty else f" = {default!r}"
        rows.append((f"{option}{value}", said.get(option, "")))
    return rows


def _flowing(paragraph: str) -> str:
    """A paragraph of the docstring in lines that fit the terminal; each cost on its own line."""
    width = max(40, min(console.width, READABLE))
    lines = re.sub(r"\n {4}(?=\S)", "\f    ", paragraph)  # an entry of a section keeps its line
    lines = re.sub(r"\s+(?=(?:Parameters|Multiply-adds):)", "\f", lines)
    return "\n".join(
        line if line.startswith("$$") else _filled(line, width) for line in lines.split("\f")
    )


def _filled(line: str, width: int) -> str:
    hanging = "        " if line.startswith(" ") else "    " if re.match(r"[\w-]+:", line) else ""
    return textwrap.fill(
        " ".join(line.split()),
        width,
        initial_indent="    " if line.startswith(" ") else "",
        subsequent_indent=hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _takes(card: Card) -> str:
    words = in_words(card.inputs)
    if len(words) == 1:
        return words.popitem()[1]
    return "; ".join(f"{name}: {said}" for name, said in words.items())


def _example(card: Card) -> str:
    call = "" if len(card.inputs) == 1 else f"({', '.join(card.inputs)})"
    return f'In Python: foveal.create_attention("{card.name}", channels=256){call}'
