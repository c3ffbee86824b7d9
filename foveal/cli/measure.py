"""`foveal measure`: what a model costs, bare and with attention."""

from collections.abc import Callable
from copy import deepcopy
from typing import Annotated, cast

import typer
from rich.markup import escape

from foveal.cli.output import AsJson, console, print_json, print_table
from foveal.core.errors import FovealError
from foveal.measure import Measurement
from foveal.measure.measurement import measure as measure_model
from foveal.surgery.hosts import host_input, load_host
from foveal.surgery.insert import Init, Position, insert


def measure(
    model: Annotated[
        str, typer.Argument(help="timm:NAME, torchvision:NAME or py:package.module:factory.")
    ],
    attention: Annotated[
        str | None,
        typer.Option(help="A mechanism or mix to insert; without one the model stays bare."),
    ] = None,
    where: Annotated[str, typer.Option(help="Where to insert it.")] = "stage_ends",
    position: Annotated[str, typer.Option(help="after, before, replace, inside_residual.")] = (
        "after"
    ),
    init: Annotated[str, typer.Option(help="identity or paper.")] = "identity",
    size: Annotated[int | None, typer.Option(help="Height and width of the image.")] = None,
    batch: Annotated[int, typer.Option(help="Images at a time.")] = 1,
    seconds: Annotated[float, typer.Option(help="Time for the latency; 0 leaves it out.")] = 5.0,
    json: AsJson = False,
) -> None:
    """Measure a model, and beside it the same model with attention inserted.

    Example: foveal measure timm:resnet18 --attention cbam --where stage_ends
    """
    for name, value, least in (("size", size, 1), ("batch", batch, 1), ("seconds", seconds, 0)):
        if value is not None and value < least:
            raise FovealError(f"--{name} {value} must be at least {least}")
    example = host_input(model, size=size, batch=batch)
    bare = load_host(model)
    models = {"bare": bare}
    if attention is not None:
        changed = models[f"with {attention}"] = deepcopy(bare)
        insert(
            changed,
            attention,
            where=where,
            position=cast(Position, position),  # checked there
            init=cast(Init, init),
            example_input=example,
        )
    last = [*models][-1]
    columns = {
        name: measure_model(
            each,
            example,
            baseline=bare if each is not bare else None,
            latency=seconds > 0 and name == last,  # the bare model's times come from the same run
            seconds=seconds,
        )
        for name, each in models.items()
    }
    if json:
        print_json({name: column.as_dict() for name, column in columns.items()})
    else:
        _show(model, columns)


def _show(model: str, columns: dict[str, Measurement]) -> None:
    bare, last = next(iter(columns.values())), [*columns.values()][-1]
    rows = [
        [what, *(_cell(figure(column), figure(bare), unit) for column in columns.values())]
        for what, unit, figure in FIGURES
    ]
    rows += _times(last)
    print_table(f"{model} on a {last.input}", ("", *columns), rows)
    for name, column in columns.items():
        verdict = "agree" if column.flops.agree else "DISAGREE"
        note = f": {column.flops.note}" if column.flops.note else ""
        console.print(escape(f"{name}: the two counts of FLOPs {verdict}{note}"))
    place = last.environment
    console.print(
        escape(
            f"{place['cpu']}, {place['cores']} cores, {place['threads']} threads, "
            f"GPU {place['gpu'] or 'none'}; torch {place['torch']}, python {place['python']}, "
            f"foveal {place['foveal']}"
        )
    )


def _times(last: Measurement) -> list[list[str]]:
    """The rows of the latency: both models' times come from one run, in turns."""
    took = last.latency
    if took is None:
        return []
    if took.ratio is None or took.ratio_interval is None:
        return [
            ["latency p50", f"{took.p50_ms:.3g} ms"],
            ["latency p95", f"{took.p95_ms:.3g} ms"],
        ]
    low, high = took.ratio_interval
    return [
        ["latency p50", f"{took.baseline_p50_ms:.3g} ms", f"{took.p50_ms:.3g} ms"],
        ["latency p95", f"{took.baseline_p95_ms:.3g} ms", f"{took.p95_ms:.3g} ms"],
        ["time over bare", "1", f"{took.ratio:.3f} [{low:.3f}, {high:.3f}]"],
    ]


def _cell(number: int | None, bare: int | None, unit: str | None) -> str:
    """A number for people, and what it has more than the bare model's."""
    if number is None:
        return ""
    if unit is None:  # shown to the last digit: twelve parameters among millions count
        return f"{number:,}" + (f" ({number - bare:+,})" if bare and number != bare else "")
    return si(number, unit) + (f" ({number / bare - 1:+.2%})" if bare and number != bare else "")


def si(number: float, unit: str = "") -> str:
    """Four digits and a prefix.

    >>> si(1_814_073_344, "B")
    '1.814 GB'
    """
    for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= scale:
            return f"{number / scale:.4g} {prefix}{unit}"
    return f"{number:.4g} {unit}".strip()


FIGURES: list[tuple[str, str | None, Callable[[Measurement], int | None]]] = [
    ("parameters", None, lambda m: m.parameters),
    ("FLOPs, Foveal's count", "", lambda m: m.flops.foveal),
    ("FLOPs, PyTorch's count", "", lambda m: m.flops.torch),
    ("multiply-adds, all", "", lambda m: m.multiply_adds),
    ("bytes moved", "B", lambda m: m.bytes_moved),
    ("peak memory", "B", lambda m: m.peak_memory),
    ("bytes moved, training", "B", lambda m: m.training.bytes_moved if m.training else None),
    ("peak memory, training", "B", lambda m: m.training.peak_memory if m.training else None),
]
