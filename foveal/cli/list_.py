"""`foveal list`: the mechanisms there are."""

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from foveal.cli.output import AsJson, console, print_json
from foveal.core.card import Card
from foveal.core.registry import attention_info, list_attentions

WIDE = 110
"""Columns of terminal from which there is room for the papers."""


def list_(
    pattern: Annotated[str, typer.Argument(help="Wildcard on the name, such as '*cbam*'.")] = "*",
    family: Annotated[str | None, typer.Option(help="Only this family.")] = None,
    layout: Annotated[str | None, typer.Option(help="Only 'map', 'tokens' or 'video'.")] = None,
    drop_in: Annotated[
        bool | None,
        typer.Option(help="Only those that can stand anywhere in a model, or only the others."),
    ] = None,
    json: AsJson = False,
) -> None:
    """List the attention mechanisms, family by family.

    Examples: foveal list · foveal list '*cbam*' · foveal list --family channel --json
    """
    names = list_attentions(
        pattern,
        family=family,
        layout=layout,  # pyright: ignore[reportArgumentType]
        drop_in=drop_in,
    )
    cards = [attention_info(name) for name in names]
    if json:
        print_json([card.as_dict() for card in cards])
    elif cards:
        console.print(_table(cards))
        console.print(f"{len(cards)} of {len(list_attentions())}; more: foveal info NAME")
    else:
        console.print("Nothing matches; `foveal list` shows all that there are.")


def _table(cards: list[Card]) -> Table:
    wide = console.width >= WIDE
    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1), pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("takes", no_wrap=True)
    table.add_column("what it does", ratio=3)
    if wide:
        table.add_column("paper", ratio=2)
    for family in sorted({card.family for card in cards}):
        table.add_row(f"[bold]{escape(family)}[/bold]")
        members = [card for card in cards if card.family == family]
        for card in members:
            cells = [f"  {card.name}", _takes(card), card.summary.rstrip("."), card.paper]
            last = card is members[-1]
            table.add_row(*map(escape, cells[: 4 if wide else 3]), end_section=last)
    return table


def _takes(card: Card) -> str:
    """The inputs, and what is made of them where that is something else."""
    inputs = " + ".join(card.inputs.values())
    return inputs if card.output == card.layout else f"{inputs} → {card.output}"
