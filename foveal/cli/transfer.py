"""`foveal transfer`: the weights of a checkpoint for an edited YAML."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from foveal.cli.output import AsJson, console, print_json, print_table

if TYPE_CHECKING:
    from foveal.yolo.weights import Transfer

SHOWN = 12


def transfer(
    old: Annotated[
        Path, typer.Argument(help="A checkpoint (.pt); it is a pickle, so name one you trust.")
    ],
    new: Annotated[str, typer.Argument(help="The edited YAML.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Write here: .pt for ultralytics, .safetensors for the tensors alone."),
    ] = None,
    scale: Annotated[
        str | None, typer.Option(help="n, s, m, l or x. Default: of the YAML's name, or OLD's.")
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Classes of the new model. Default: OLD's.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Move a checkpoint's weights into the model of an edited YAML, layer by layer.

    Layers are matched by what they are, not by their numbers. Says how many tensors find their
    place, and which would have gone into a wrong layer by a plain loading.

    Example: foveal transfer yolov8n.pt yolov8n-cbam.yaml --out yolov8n-cbam.pt
    """
    from foveal.yolo.weights import transfer as move

    found = move(old, new, out, scale=scale, classes=classes)
    if json:
        print_json(found.as_dict())
    else:
        _show(f"{old} → {new}", found)


def _show(title: str, found: "Transfer") -> None:
    rows = [
        (
            "" if layer.old is None else layer.old,
            "" if layer.new is None else layer.new,
            layer.kind,
            layer.moved,
            layer.fresh,
            layer.left,
            layer.why,
        )
        for layer in found.layers
        if layer.fresh or layer.left or layer.why
    ]
    if rows:
        columns = ("old layer", "new layer", "module", "moved", "fresh", "left", "why")
        print_table(f"{title}: layers that differ", columns, rows)
    fresh = found.new_tensors - found.moved
    console.print(
        f"{found.moved} of {found.old_tensors} tensors find their layer; {fresh} of the new "
        f"model's {found.new_tensors} begin fresh.",
        soft_wrap=True,
    )
    console.print(
        f"By names alone {found.by_name} would have been loaded, {len(found.wrong)} of them into "
        "the wrong layer.",
        soft_wrap=True,
    )
    for name, truth in list(found.wrong.items())[:SHOWN]:
        console.print(escape(f"  {name} would have got its namesake; its own: {truth}"))
    if len(found.wrong) > SHOWN:
        console.print(f"  and {len(found.wrong) - SHOWN} more (--json lists all)")
    if found.written:
        console.print(escape(f"Written: {found.written}"), soft_wrap=True)
