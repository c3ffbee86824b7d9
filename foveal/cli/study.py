"""`foveal study`: does attention help this model on this data?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from foveal.cli.output import AsJson, console, print_json, print_table
from foveal.core.errors import require
from foveal.report.numbers import LEVEL, scale_of
from foveal.report.table import Row, verdict_rows

if TYPE_CHECKING:
    from foveal.study.prepare import Prepared
    from foveal.study.records import Study


HEADINGS = (
    "variant",
    "role",
    "metric",
    "difference",
    "p (Holm)",
    "verdict",
    "size",
    "time",
)
WIDTH = 140


def study(
    config: Annotated[
        Path | None, typer.Argument(help="A study's YAML file. Default: the built-in study.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to. Default: studies/NAME.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what the folder holds.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Runs at a time. Default: one per core.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check everything, say what would be done, train nothing."),
    ] = False,
    json: AsJson = False,
) -> None:
    """Compare attention mechanisms with controls, paired by seed, and give verdicts.

    Without a configuration, runs the built-in study: a small network, digits among clutter.

    Where its `model` is a YOLO's YAML or checkpoint and `data` a detection dataset's data.yaml, the
    study is one of detection.

    Examples: foveal study · foveal study flowers.yaml --out studies/flowers · foveal study --resume
    """
    from foveal.study.config import load_config
    from foveal.study.run import run_study
    from foveal.study.workers import default_workers

    chosen = load_config(config)
    for module, extra in chosen.libraries.items():
        if find_spec(module) is None:  # they take seconds to import, and workers do that
            require(module, extra)
    if dry_run:
        _show_plan(chosen.prepare(), workers or default_workers(), json)
        return
    remarks = Console(stderr=True)
    try:
        result = run_study(
            chosen,
            out,
            resume=resume,
            workers=workers,
            progress=not json,
            say=lambda text: remarks.print(escape(text), highlight=False),
        )
    except KeyboardInterrupt:
        remarks.print("Interrupted. What was finished is kept; go on with --resume.")
        raise
    from foveal.report import write_report

    paths = write_report(result.folder)
    if json:
        print_json(_as_data(result, paths))
    else:
        show_verdicts(result)
        console.print(f"Report: {paths[0]}")


def show_verdicts(study: Study) -> None:
    """The verdicts on the terminal, and in words what they rest on."""
    rows = verdict_rows(study)
    bare = next((row["parameters"] for row in rows if row["role"] == "none"), None)
    # a pipe has no width of its own
    wide = Console(width=None if console.is_terminal else WIDTH)
    cells = [_cells(row, bare) for row in rows]
    metric = scale_of(study).metric
    headings = tuple(metric if heading == "metric" else heading for heading in HEADINGS)
    table = _table(study.name, headings, cells)
    if wide.measure(table, options=wide.options.update(max_width=1000)).maximum > wide.width:
        # the names of controls say their role
        folded = [
            [_folded(cell) for cell in (name, *rest)] for name, _, *rest in (headings, *cells)
        ]
        table = _table(study.name, folded[0], folded[1:])
    wide.print(table, highlight=False)
    for row in rows:
        for line in _words(row):
            console.print(escape(line), highlight=False)
    console.print(f"[dim]{escape(_design(study))}[/dim]", highlight=False)


def _table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _cells(row: Row, bare: int | None) -> tuple[str, ...]:
    added = row["parameters_added"]
    return (
        row["variant"],
        row["role"],
        f"{100 * row['mean']:.2f} ± {100 * (row['sd'] or 0):.2f}",
        _difference(row),
        "" if row["p_corrected"] is None else f"{row['p_corrected']:.3g}",
        row["verdict"] or "baseline",
        "" if not bare or added is None else f"{100 * added / bare:+.1f}%",
        "" if row["latency_ratio"] is None else f"×{row['latency_ratio']:.2f}",
    )


def _folded(text: str) -> str:
    """A cell on two lines, for a terminal of 80 columns."""
    for sign in (" ±", " [", " (", " distinguishable"):
        text = text.replace(sign, f"\n{sign[1:]}")
    return text


def _difference(row: Row, before: str = "") -> str:
    if row[f"{before}difference"] is None:
        return ""
    low, high = 100 * row[f"{before}low"], 100 * row[f"{before}high"]
    return f"{100 * row[f'{before}difference']:+.2f} [{low:+.2f}, {high:+.2f}]"


def _words(row: Row) -> list[str]:
    """What may be said of an attention variant, and what the study could not have seen."""
    if row["role"] != "attention":
        return []
    name, verdict = row["variant"], row["verdict"]
    if verdict == "not distinguishable":
        if row["blind"]:
            return [f"{name}: not distinguishable; with so few seeds nothing could have been."]
        return [
            f"{name}: not distinguishable from no attention; a true difference below "
            f"{100 * row['smallest_effect']:.1f} points could have escaped."
        ]
    lines = [f"{name}: {verdict} by {_difference(row)} points."]
    for role, what in _BESIDE.items():
        against = row[f"{role}_verdict"]
        if against is None:
            continue
        if against == "not distinguishable":
            told = f"is not distinguishable from {what}"
            if role == "matched" and verdict == "helps":
                told += ", so that the gain may come from the parameters alone"
        else:
            told = f"is {'better' if against == 'helps' else 'worse'} than {what}"
        lines.append(f"  It {told}: {_difference(row, f'{role}_')} points.")
    return lines


_BESIDE = {
    "matched": "a plain block of its size",
    "frozen": "its frozen gates",
    "larger": "the next larger scale",
}


def _design(study: Study) -> str:
    asked = sum(variant.role == "attention" for variant in study.variants)
    return (
        f"{scale_of(study).title} on the test pictures after the last epoch, in per cent, mean ± "
        f"standard deviation of {len(study.seeds)} seeds. Differences are paired by seed, with "
        f"{LEVEL} bootstrap intervals (not corrected); p is exact, corrected by Holm over the "
        f"{asked} mechanisms asked about, and over the controls among themselves. "
        "Size: parameters added. Time: of a forward pass, as a multiple of no attention's."
    )


def _show_plan(prepared: Prepared, workers: int, json: bool) -> None:
    config, runs = prepared.config, len(prepared.variants) * len(prepared.config.seed_list)
    seconds = prepared.seconds_per_seed * len(config.seed_list) / min(workers, runs)
    if json:
        plan = prepared.plan() | {"runs": runs, "workers": workers, "estimated_seconds": seconds}
        print_json(plan)
        return
    rows = [
        (v.name, v.role, v.position, ", ".join(prepared.places[v.name]) or "–")
        for v in prepared.variants
    ]
    print_table(config.name, ("variant", "role", "position", "places"), rows)
    console.print(escape(prepared.outlook.text))
    for note in prepared.notes:
        console.print(f"Note: {escape(note)}.")
    minutes = max(seconds / 60, 0.1)
    console.print(
        f"{runs} runs with {workers} at a time: roughly {minutes:.1f} minutes of training. "
        "Nothing was trained or written."
    )


def _as_data(study: Study, paths: list[Path]) -> dict[str, Any]:
    return {
        "name": study.name,
        "folder": str(study.folder),
        "seeds": study.seeds,
        "variants": verdict_rows(study),
        "comparisons": [asdict(comparison) for comparison in study.comparisons],
        "costs": [asdict(cost) for cost in study.costs],
        "written": [str(path) for path in paths],
    }
