"""`foveal insert`: put a mechanism into a model, and say what that changed."""

import json as json_text
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.markup import escape

from foveal.cli.output import AsJson, console, print_json, print_table
from foveal.core.errors import FovealError
from foveal.surgery.hosts import host_input, load_host
from foveal.surgery.insert import Init, Insertion, Position
from foveal.surgery.insert import insert as insert_into
from foveal.surgery.levels import insert_levels
from foveal.surgery.saved import save_insertion


def insert(
    model: Annotated[
        str, typer.Argument(help="timm:NAME, torchvision:NAME or py:package.module:factory.")
    ],
    attention: Annotated[
        str, typer.Option(help="A name of `foveal list`, or a mix such as 'eca > coord'.")
    ],
    option: Annotated[
        list[str] | None, typer.Option(help="An option of it, NAME=VALUE; again for more.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="A path, pattern, regex: or preset (stage_ends, last_stage, every_block, "
            "backbone.last2); again for more. Default: stage_ends."
        ),
    ] = None,
    position: Annotated[str, typer.Option(help="after, before, replace, inside_residual.")] = (
        "after"
    ),
    init: Annotated[str, typer.Option(help="identity or paper.")] = "identity",
    across_levels: Annotated[
        bool,
        typer.Option(
            "--across-levels",
            help="Let maps of several sizes exchange what they hold, the mechanism in each; "
            "`foveal targets MODEL --pyramids` shows where.",
        ),
    ] = False,
    size: Annotated[int | None, typer.Option(help="Height and width of the image.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the mechanism's initial values.")] = 0,
    pretrained: Annotated[bool, typer.Option(help="Fetch the model's trained weights.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Save the insertion here, as safetensors.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Insert a mechanism into a model and report what went where.

    Examples: foveal insert timm:resnet18 --attention cbam --option reduction=8 --where stage_ends ·
    foveal insert torchvision:lraspp_mobilenet_v3_large --attention eca --across-levels
    --where backbone
    """
    import torch

    options = dict(parse_option(text) for text in option or [])
    if across_levels and not where:
        raise FovealError(
            "--across-levels needs --where, a module that takes or returns maps of several sizes; "
            f"foveal targets {model} --pyramids shows them"
        )
    host = load_host(model, pretrained=pretrained)
    torch.manual_seed(seed)
    report = (insert_levels if across_levels else insert_into)(
        host,
        attention,
        where=where or "stage_ends",
        position=cast(Position, position),  # checked there
        init=cast(Init, init),
        example_input=host_input(model, size=size, batch=2),
        options=options,
    )
    saved = save_insertion(host, out) if out else None
    if json:
        print_json(report.as_dict() | {"saved": str(saved) if saved else None})
    else:
        _show(model, report, saved)


def parse_option(text: str) -> tuple[str, Any]:
    """An option of a mechanism as the command line has it.

    >>> parse_option("reduction=8"), parse_option("pool=avg"), parse_option("sizes=[3, 5]")
    (('reduction', 8), ('pool', 'avg'), ('sizes', [3, 5]))
    """
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise FovealError(f"--option {text!r} must be NAME=VALUE, such as reduction=8")
    words = {"True": True, "False": False, "None": None}
    if value in words:
        return name, words[value]
    try:
        return name, json_text.loads(value)
    except json_text.JSONDecodeError:
        return name, value


def _show(model: str, report: Insertion, saved: Path | None) -> None:
    rows = [
        (p.path, p.attention, p.position, p.channels, p.layout, p.parameters) for p in report.places
    ]
    columns = ("module", "attention", "position", "channels", "layout", "parameters")
    print_table(model, columns, rows)
    console.print(
        f"{report.parameters_added:,} parameters added; {report.keys_kept} keys kept, "
        f"{report.keys_added} added; largest change of the output {report.largest_change:.3g}"
    )
    if not report.heard:
        console.print(
            "Even at full strength no output changes: the head may read the class token alone, or "
            "be all zeros."
        )
    for path, reason in report.skipped.items():
        console.print(escape(f"passed over {path}: {reason}"))
    if saved:
        console.print(escape(f"saved in {saved}"))
