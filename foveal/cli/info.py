"""`foveal info`: a mechanism's card."""

from typing import Annotated

import typer
from rich.markup import escape

from foveal.cli.output import AsJson, console, print_json
from foveal.core.registry import attention_info


def info(
    name: Annotated[str, typer.Argument(help="A name that `foveal list` shows.")],
    json: AsJson = False,
) -> None:
    """Show a mechanism's card: paper, mathematics, options, cost.

    Example: foveal info cbam
    """
    card = attention_info(name)
    if json:
        print_json(card.as_dict())
        return
    options = ", ".join(f"{option}={default!r}" for option, default in card.options.items())
    facts = {
        "paper": f"{card.paper} {card.url or ''}".strip(),
        "family": card.family,
        "layout": card.layout,
        "options": options or "none",
        "limits": "; ".join(f"{law}: {why}" for law, why in card.limits.items()) or "none",
    }
    console.print(
        f"[bold]{card.name}[/bold]", *(f"{k:>8}: {escape(v)}" for k, v in facts.items()), sep="\n"
    )
    console.print()
    console.print(escape(card.doc))
