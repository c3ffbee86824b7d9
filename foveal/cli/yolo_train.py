"""`foveal yolo train`: insert a mechanism into a YOLO and train it."""

from typing import Annotated, cast

import typer
from rich.markup import escape

from foveal.cli.insert import parse_option
from foveal.cli.output import AsJson, console, print_json, print_table
from foveal.surgery.insert import Init, Position
from foveal.yolo.training import Training, parse_arguments
from foveal.yolo.training import train as train_model

CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}


def train(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="A checkpoint, or a YAML such as yolov8n.yaml.")],
    attention: Annotated[
        str | None,
        typer.Option(help="The mechanism or mix; none to train what the checkpoint holds."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="backbone.p3|p4|p5, backbone.last2, sppf, neck.out, head.in, every_c2f, a layer's "
            "number or a path; again for more. Default: backbone.last2, across levels head.in."
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
            help="Let the levels exchange what they hold, the mechanism in each; at head.in.",
        ),
    ] = False,
    option: Annotated[
        list[str] | None, typer.Option(help="An option of the mechanism, NAME=VALUE.")
    ] = None,
    freeze_host: Annotated[
        bool | None, typer.Option("--freeze-host", help="Let only the mechanisms learn.")
    ] = None,
    attention_lr: Annotated[
        float | None, typer.Option(help="Times the host's learning rate for the mechanisms.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run whose last.pt the model is.")
    ] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Let ultralytics fetch what is not here.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Insert a mechanism into a YOLO and train it; ultralytics' own arguments follow as they are.

    Example: foveal yolo train --model yolov8n.pt --attention cbam data=my.yaml epochs=50
    """
    done = train_model(
        model,
        attention,
        where=where or None,
        position=cast(Position, position),
        init=cast(Init, init),
        across_levels=across_levels,
        options=dict(parse_option(text) for text in option or []),
        freeze_host=freeze_host,
        attention_lr=attention_lr,
        resume=resume,
        download=download,
        **parse_arguments(context.args),
    )
    if json:
        print_json(done.as_dict())
    else:
        _show(done)


def _show(done: Training) -> None:
    if done.strengths:
        print_table(
            "What was inserted, and its strength now",
            ("module", "strength"),
            [
                (path, "paper" if s is None else " ".join(f"{one:+.5f}" for one in s))
                for path, s in done.strengths.items()
            ],
        )
    shown = ", ".join(f"{key} {value:.4f}" for key, value in done.metrics.items())
    console.print(escape(f"{shown}\nBest checkpoint: {done.best}"), highlight=False)
