"""`foveal targets`: where a mechanism can go in a model."""

from dataclasses import asdict
from typing import Annotated

import typer

from foveal.cli.output import AsJson, print_json, print_table
from foveal.surgery.hosts import host_input, load_host
from foveal.surgery.maps import PyramidPlace, find_pyramids
from foveal.surgery.targets import Target, find_targets


def targets(
    model: Annotated[
        str, typer.Argument(help="timm:NAME, torchvision:NAME or py:package.module:factory.")
    ],
    every: Annotated[
        bool, typer.Option("--all", help="Every module, not only those that play a role.")
    ] = False,
    pyramids: Annotated[
        bool, typer.Option(help="Modules that take or return maps of several sizes instead.")
    ] = False,
    size: Annotated[int | None, typer.Option(help="Height and width of the image.")] = None,
    json: AsJson = False,
) -> None:
    """Show where a mechanism can go: stage ends, blocks, residual branches, attention layers.

    Examples: foveal targets timm:resnet18 · foveal targets torchvision:swin_t --json
    """
    example = host_input(model, size=size, batch=2)
    if pyramids:
        _show_pyramids(find_pyramids(load_host(model), example), model, json)
        return
    found = find_targets(load_host(model), example)
    if json:
        print_json([target.as_dict() for target in found])
        return
    shown = [target for target in found if every or target.roles]
    columns = ("module", "channels", "stride", "size", "layout", "roles")
    print_table(model, columns, [_row(target) for target in shown or found])


def _show_pyramids(found: list[PyramidPlace], model: str, json: bool) -> None:
    if json:
        print_json([asdict(place) for place in found])
        return
    columns = ("module", "position", "channels", "sizes", "calls")
    print_table(model, columns, [_pyramid_row(place) for place in found])


def _pyramid_row(place: PyramidPlace) -> tuple[object, ...]:
    channels = ", ".join(map(str, place.channels))
    sizes = ", ".join(f"{height}×{width}" for height, width in place.sizes)
    return place.path, place.position, channels, sizes, place.calls


def _row(target: Target) -> tuple[object, ...]:
    size = "×".join(map(str, target.size)) if target.size else None
    prefix = f" (+{target.prefix_tokens})" if target.prefix_tokens else ""
    return (
        target.path,
        target.channels,
        target.stride,
        f"{size}{prefix}" if size else None,
        target.layout,
        ", ".join(target.roles),
    )
