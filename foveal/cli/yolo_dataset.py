"""`foveal yolo dataset`: a small detection dataset, made here."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from foveal.cli.output import AsJson, console, print_json, print_table
from foveal.core.errors import require


def dataset(
    out: Annotated[Path, typer.Argument(help="The folder to make.")],
    images: Annotated[int, typer.Option(help="Pictures over train, val and test.")] = 600,
    size: Annotated[int, typer.Option(help="Height and width in pixels.")] = 96,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Names with commas: disc, triangle, square, star, cross; flower, pagoda (from "
            "scikit-learn); cat, cup, astronaut (from scikit-image)."
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Make a small detection dataset in YOLO's format, without any download.

    Drawn objects and real ones hide one another among clutter; every label is true. yolov8n learns
    it from scratch within minutes on two cores.

    Examples: foveal yolo dataset shapes · foveal yolo dataset big --images 3000 --size 160
    """
    require("PIL.Image", "yolo")
    from foveal.yolo.dataset import EASY_TO_GET, make_dataset

    names = tuple(classes.replace(" ", "").split(",")) if classes is not None else EASY_TO_GET
    # on a terminal only: a file of a log has no use for a bar
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("drawing", total=images)
        made = make_dataset(
            out,
            images=images,
            size=size,
            seed=seed,
            classes=names,
            on_image=lambda: bar.advance(task),
        )
    if json:
        print_json(made.as_dict())
        return
    print_table(None, ("class", "objects"), made.objects.items())
    counts = ", ".join(f"{count} to {split}" for split, count in made.images.items())
    state = "" if made.new else "; it stood there already"
    console.print(escape(f"{counts}; data: {made.data}{state}"), soft_wrap=True)
