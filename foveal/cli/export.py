"""`foveal export`: a checkpoint as a file for deployment, run and compared before it is kept."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from foveal.cli.output import AsJson, console, print_json, print_table
from foveal.yolo.exporting import TOLERANCE, Export
from foveal.yolo.exporting import export as export_checkpoint
from foveal.yolo.training import parse_arguments

CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}


def export(
    context: typer.Context,
    checkpoint: Annotated[Path, typer.Argument(help="A .pt that a YOLO was saved in.")],
    to: Annotated[str, typer.Option(help="onnx, torchscript or openvino.")] = "onnx",
    imgsz: Annotated[
        int | None, typer.Option(help="Size to trace at. Default: the size it was trained at.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to put the file.")] = None,
    tolerance: Annotated[
        float, typer.Option(help="Largest difference allowed, in parts of a channel's range.")
    ] = TOLERANCE,
    json: AsJson = False,
) -> None:
    """Export a YOLO, run the file on pictures at three sizes, and keep it only if it is right.

    Example: foveal export runs/detect/train/weights/best.pt --to onnx
    """
    arguments = parse_arguments(context.args)
    done = export_checkpoint(checkpoint, to, imgsz=imgsz, out=out, tolerance=tolerance, **arguments)
    if json:
        print_json(done.as_dict())
    else:
        _show(done, tolerance)


def _show(done: Export, tolerance: float) -> None:
    print_table(
        f"{done.path.name} against the model, on {done.comparisons[0].pictures} photographs",
        ("size", "traced", "largest difference", "allowed"),
        [
            (
                f"{c.height}×{c.width}",
                "yes" if c.traced else "no",
                f"{c.difference:.2g}",
                f"{c.allowed(tolerance):.2g}",
            )
            for c in done.comparisons
        ],
    )
    console.print(f"Differences are in parts of a channel's range; allowed is {tolerance:g}.")
    if done.attention is not None and done.attention < 10 * tolerance:
        console.print(
            "The mechanisms themselves change the outputs by no more than "
            f"{done.attention:.2g}, so that this check says little about them; the model may not "
            "be trained yet."
        )
    console.print(escape(f"Wrote {done.path}"), highlight=False)
