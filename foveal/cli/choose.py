"""`foveal choose`: which mechanisms are worth a study, for a model, a task and a device."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from foveal.choose import RUNTIMES, TASKS, Choice, Entry, read_budget, study_text
from foveal.choose import choose as choose_for
from foveal.choose.places import SHAPE_IN_WORDS, read_shape
from foveal.choose.study_file import study_entries
from foveal.choose.trial import in_bytes
from foveal.cli.output import AsJson, console, print_json
from foveal.core.errors import FovealError, did_you_mean
from foveal.core.files import write_whole
from foveal.surgery.hosts import host_input

SHOWN = 12
"""Rows of the table without --all."""
REMARKABLE = "overrules|weighs more|would see nothing"
"""Reasons that are told below the table."""
EXAMPLES = 3
"""Of each reason for dropping, without --all."""


def choose(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL|SHAPE]",
            help="timm:NAME, torchvision:NAME, py:package.module:factory, or a shape CxHxW "
            "(TxCxHxW for a video). On a terminal and without any option: asked for.",
        ),
    ] = None,
    task: Annotated[str, typer.Option(help=f"{', '.join(TASKS)}.")] = "classification",
    memory: Annotated[
        str | None,
        typer.Option(help="The most that a forward pass of one image may hold: 8GB, 512MB, 8GiB."),
    ] = None,
    latency: Annotated[
        str | None,
        typer.Option(help="The most time: 20ms, or 1.2x of the bare model's."),
    ] = None,
    parameters: Annotated[
        str | None, typer.Option(help="The most parameters added: 50k, 2M, or 2% of the model's.")
    ] = None,
    runtime: Annotated[str, typer.Option(help=f"{', '.join(RUNTIMES)}.")] = "torch",
    mechanism: Annotated[
        list[str] | None, typer.Option(help="Only this one, or a wildcard; again for more.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Only this place, as `foveal insert` has it; again for more."),
    ] = None,
    size: Annotated[int | None, typer.Option(help="Height and width of the image.")] = None,
    frames: Annotated[
        int | None, typer.Option(help="Give the model clips of so many frames.")
    ] = None,
    measure: Annotated[int, typer.Option(help="Stop when so many are measured and kept.")] = 12,
    seconds: Annotated[float, typer.Option(help="Begin no trial after so many.")] = 90.0,
    study: Annotated[
        Path | None, typer.Option(help="Write the study that decides between the best here.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every mechanism and place, each with its reasons.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Rank mechanisms and places by rules of thumb, declared limits and measured cost.

    Examples: foveal choose timm:resnet18 --latency 1.2x --runtime onnx ·
    foveal choose 256x80x80 --task detection --runtime mobile
    """
    if model is None:
        if not at_a_terminal() or _given(context):
            raise FovealError(
                f"name a model such as timm:resnet18, or a shape {SHAPE_IN_WORDS}; on a terminal "
                "and without any option `foveal choose` asks"
            )
        asked = _ask()
        model, task, runtime = str(asked["model"]), asked["task"], asked["runtime"]
        memory, latency, parameters = asked["memory"], asked["latency"], asked["parameters"]
    if study is not None and read_shape(model) is not None:
        raise FovealError(
            f"--study {study}: a study needs a model, and {model} is a shape; name a model, "
            "or leave --study out"
        )
    if study is not None and frames is not None:
        raise FovealError(
            f"--study {study}: a study trains on pictures, and --frames {frames} asks about clips; "
            "leave one of them out"
        )
    for name, value in (("size", size), ("frames", frames)):
        if value is not None and value < 1:
            raise FovealError(f"--{name} {value} must be at least 1")
    found = choose_for(
        model,
        task=task,
        memory=memory,
        latency=latency,
        parameters=parameters,
        runtime=runtime,
        mechanisms=mechanism,
        where=where,
        size=size,
        frames=frames,
        measure=measure,
        seconds=seconds,
        progress=not json,
    )
    if json:
        print_json(found.as_dict() | {"study": str(study) if study else None})
    else:
        _show(found, every)
    if study is not None:
        write_whole(study, study_text(found))
    if not json:
        _say_what_decides(found, study)


def at_a_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _given(context: typer.Context) -> bool:
    """Whether any option stands on the command line."""
    sources = map(context.get_parameter_source, context.params)
    return any(source is not None and source.name == "COMMANDLINE" for source in sources)


def _ask() -> dict[str, Any]:
    """The few questions, each asked again until its answer makes sense."""
    console.print("Enter takes what stands in brackets; none means no limit.")
    return {
        "model": _answer("Model or shape", "timm:resnet18", _check_model),
        "task": _answer(f"Task ({', '.join(TASKS)})", TASKS[0], partial(_check_in, TASKS)),
        "memory": _limit("Memory of the device, such as 8GB", "memory"),
        "latency": _limit("Latency, such as 20ms or 1.2x of the bare model's", "latency"),
        "parameters": _limit("Parameters added, such as 50k or 2%", "parameters"),
        "runtime": _answer(
            f"Runtime ({', '.join(RUNTIMES)})", "torch", partial(_check_in, tuple(RUNTIMES))
        ),
    }


def _answer(question: str, default: str, check: Callable[[str], object]) -> str:
    while True:
        given: str = typer.prompt(question, default=default).strip()
        try:
            check(given)
        except FovealError as error:
            console.print(escape(str(error)), highlight=False)
        else:
            return given


def _limit(question: str, name: str) -> str | None:
    def check(given: str) -> None:
        if given != "none":
            read_budget(**{name: given})

    given = _answer(question, "none", check)
    return None if given == "none" else given


def _check_model(given: str) -> None:
    if read_shape(given) is None:
        host_input(given)


def _check_in(words: tuple[str, ...], given: str) -> None:
    if given not in words:
        near = did_you_mean(given, words).rstrip(".")
        raise FovealError(f"{given!r} must be one of {', '.join(words)}{near}")


def _show(found: Choice, every: bool) -> None:
    kept = found.kept if every else found.kept[:SHOWN]
    budget = ", ".join(f"{name} {value}" for name, value in _limits(found)) or "no limit"
    console.print(
        escape(f"{found.host} for {found.task} on {found.runtime}; {budget}"), highlight=False
    )
    if kept:
        console.print(_table(found, kept))
    else:
        console.print("Nothing was kept.")
    for line in _words(found, len(kept)):
        console.print(escape(line), highlight=False)
    if every:
        for entry in found.entries:
            at = f" at {entry.where}" if entry.where else ""
            console.print(escape(f"\n{entry.mechanism}{at}: {entry.status}"), highlight=False)
            for reason in entry.reasons:
                console.print(escape(f"  {reason}"), highlight=False)
    else:
        for line in _others(found):
            console.print(escape(line), highlight=False)
    for note in found.notes:
        console.print(escape(f"Note: {note}."), highlight=False)
    at = found.environment
    console.print(
        escape(
            f"{found.seconds:.0f} s on {at['cpu']}, {at['cores']} cores, {at['threads']} threads, "
            f"GPU {at['gpu'] or 'none'}; torch {at['torch']}"
        ),
        highlight=False,
    )


def _limits(found: Choice) -> list[tuple[str, str]]:
    """What the budget says, for people."""
    budget, bare = found.budget, found.bare["parameters"]
    said = []
    if budget.memory is not None:
        said.append(("memory", in_bytes(budget.memory)))
    if budget.milliseconds is not None:
        said.append(("latency", f"{budget.milliseconds:g} ms"))
    if budget.ratio is not None:
        said.append(("latency", f"×{budget.ratio:g}"))
    allowed = budget.parameters_of(bare)
    if allowed is not None:
        said.append(("parameters", f"+{allowed:,}"))
    return said


def _table(found: Choice, entries: list[Entry]) -> Table:
    wide = console.width >= 96
    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    columns = ["", "mechanism", "where", "parameters", "work", "memory", "time over bare", "prior"]
    if not wide:
        columns.remove("work")
    for column in columns:
        right = column in ("", "parameters", "work", "memory")
        table.add_column(
            column, justify="right" if right else "left", no_wrap=column != "prior", overflow="fold"
        )
    for entry in entries:
        t = entry.timing
        assert t is not None
        cells = [
            str(entry.rank),
            entry.mechanism,
            entry.where or "",
            f"+{entry.parameters:,}",
            *([_share(entry.multiply_adds or 0, found.bare["multiply_adds"])] if wide else []),
            in_bytes(entry.memory or 0),
            f"{t.ratio:.2f} [{t.low:.2f}, {t.high:.2f}]",
            f"{entry.prior:+d} {', '.join(rule['name'] for rule in entry.rules)}".rstrip(),
        ]
        table.add_row(*map(escape, cells))
    return table


def _share(added: int, bare: int) -> str:
    """What is added, as a share: in per cent, or as a multiple where it is many times as much."""
    if 0 < added < 1e-4 * bare:
        return "<0.01%"
    return f"+{100 * added / bare:.2f}%" if added < 10 * bare else f"×{added / bare:.0f}"


def _words(found: Choice, shown: int) -> list[str]:
    """What the table means."""
    lines = []
    if shown < len(found.kept):
        lines.append(f"{len(found.kept) - shown} more were kept; --all shows them.")
    if any(entry.position == "inside_residual" for entry in found.kept[:shown]):
        lines.append("every_block: at the end of each residual branch (inside_residual).")
    if shown:
        lines.append(
            "Ranked by the prior's points, less one for each 20 % of time, parameters or memory "
            "added. Work: multiply-adds added. Memory: of a forward pass of one image, weights "
            "included. Time: median and 95 % interval, in turns with the bare host; what overlaps "
            "is not told apart."
        )
    for entry in found.kept[:shown]:
        overruled = [
            reason for reason in entry.reasons if "overrules" in reason or "weighs" in reason
        ]
        lines += [f"{entry.mechanism} at {entry.where}: {reason}." for reason in overruled]
    return lines


def _others(found: Choice) -> list[str]:
    """What was not kept, grouped by the reason."""
    lines = []
    groups: dict[str, list[Entry]] = {}
    for entry in found.dropped:
        groups.setdefault(entry.group, []).append(entry)
    for group, entries in groups.items():
        lines.append(f"Dropped, {group} ({_count(entries)}): {_examples(entries)}")
    by_hand = found.by_hand
    if by_hand and found.task in ("multi-modal", "video"):
        lines.append("To be called from a forward of your own:")
        lines += [f"  {entry.mechanism} {_needs(entry)}" for entry in by_hand]
    elif by_hand:
        names = ", ".join(entry.mechanism for entry in by_hand)
        lines.append(f"Not for a place in a model; `foveal info NAME` tells why: {names}.")
    if found.not_measured:
        lines.append(
            f"Not measured: {_count(found.not_measured)}; --all shows them, "
            f"--measure and --seconds try more."
        )
    return lines


def _needs(entry: Entry) -> str:
    return entry.reasons[-1].removeprefix("it ").split(", and a place in a model")[0]


def _count(entries: list[Entry]) -> str:
    names = {entry.mechanism for entry in entries}
    mechanisms = f"{len(names)} mechanism{'s' if len(names) > 1 else ''}"
    places = sum(entry.where is not None for entry in entries)
    return mechanisms if places <= len(names) else f"{mechanisms} at {places} places"


def _examples(entries: list[Entry]) -> str:
    """The first few with their numbers; a reason that all share is told once."""
    if entries[0].group == "parameters":
        entries = sorted(entries, key=lambda entry: entry.parameters or 0)
    reasons = {entry.reasons[-1] for entry in entries}
    if len(reasons) == 1:
        names = ", ".join(dict.fromkeys(entry.mechanism for entry in entries))
        return f"{names}: {reasons.pop()}."
    said = []
    for entry in entries[:EXAMPLES]:
        at = f" at {entry.where}" if entry.where else ""
        said.append(f"{entry.mechanism}{at} {entry.reasons[-1].split('; this overrules')[0]}")
    return "; ".join(said) + ("; …" if len(entries) > EXAMPLES else ".")


def _say_what_decides(found: Choice, study: Path | None) -> None:
    """The study that would tell which of the best helps."""
    if study is not None:
        names = ", ".join(entry.mechanism for entry in study_entries(found))
        console.print(
            escape(f"Wrote {study}, which compares {names}: foveal study {study}"), highlight=False
        )
    elif found.spec is not None and found.image_size is not None and study_entries(found):
        console.print("\nThe study that decides between the best; --study FILE writes it:\n")
        console.print(escape(study_text(found)), highlight=False, soft_wrap=True, end="")
