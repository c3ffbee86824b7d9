"""`foveal list`: the mechanisms there are."""

from typing import Annotated

import typer

from foveal.cli.output import AsJson, print_json, print_table
from foveal.core.registry import attention_info, list_attentions


def list_(
    pattern: Annotated[str, typer.Argument(help="Wildcard on the name, such as '*cbam*'.")] = "*",
    family: Annotated[str | None, typer.Option(help="Only this family.")] = None,
    layout: Annotated[str | None, typer.Option(help="Only 'map' or 'tokens'.")] = None,
    json: AsJson = False,
) -> None:
    """List the attention mechanisms.

    Examples: foveal list · foveal list '*cbam*' · foveal list --family channel --json
    """
    names = list_attentions(pattern, family=family, layout=layout)  # pyright: ignore[reportArgumentType]
    cards = [attention_info(name) for name in names]
    if json:
        print_json([card.as_dict() for card in cards])
    else:
        rows = [(card.name, card.family, card.layout, card.summary, card.paper) for card in cards]
        print_table(None, ("name", "family", "layout", "what it does", "paper"), rows)
