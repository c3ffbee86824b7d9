"""`foveal doctor`: the silent faults of a YOLO model."""

from pathlib import Path
from typing import Annotated

import typer

from foveal.cli.output import AsJson, console, print_json, print_table


def doctor(
    model: Annotated[
        str,
        typer.Argument(help="A checkpoint (.pt; a pickle, so name one you trust) or a YAML."),
    ],
    weights: Annotated[
        Path | None,
        typer.Option(help="The checkpoint that it began with, to find weights in wrong layers."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Find what is wrong with a YOLO model that builds, trains and predicts all the same.

    Looks for numbers of layers that were not shifted, attention that never learned or was dropped,
    weights loaded into the wrong layer, channels that fit one scale only, and pooling that an
    exported file gets wrong. Ends with status 1 if there is any.

    Examples: foveal doctor best.pt · foveal doctor yolov8n-cbam.yaml --weights yolov8n.pt
    """
    from foveal.yolo.diagnosis import doctor as examine

    findings = examine(model, weights=weights)
    if json:
        print_json({"model": model, "findings": [finding.as_dict() for finding in findings]})
    elif findings:
        columns = ("fault", "where", "what", "why", "remedy")
        print_table(model, columns, [tuple(f.as_dict().values()) for f in findings])
    else:
        console.print(f"{model}: no fault found.", soft_wrap=True, highlight=False)
    if findings:
        raise typer.Exit(1)
