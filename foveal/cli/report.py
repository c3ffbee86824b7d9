"""`foveal report`: a study's tables, plots and page."""

import webbrowser
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from foveal.cli.output import AsJson, print_json
from foveal.report.page import write_report
from foveal.report.table import verdict_rows
from foveal.study.records import Study, load_study


def report(
    study: Annotated[Path, typer.Argument(help="The folder that `foveal study` wrote.")],
    open_: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    json: AsJson = False,
) -> None:
    """Write a study's report: a page, and its tables.

    The tables come as Markdown, LaTeX and CSV too. A study under way may be reported. Prints the
    paths written; with --json, the study's table as data beside them.

    Examples: foveal report studies/flowers · foveal report studies/flowers --open
    """
    paths = write_report(study)
    if json:
        print_json(_as_data(load_study(study), paths))
    else:
        for path in paths:
            print(path)
    if open_:
        webbrowser.open(paths[0].resolve().as_uri())


def _as_data(study: Study, paths: list[Path]) -> dict[str, Any]:
    return {
        "name": study.name,
        "complete": study.complete,
        "runs": len(study.runs),
        "runs_planned": len(study.variants) * len(study.seeds),
        "variants": verdict_rows(study),
        "comparisons": [asdict(comparison) for comparison in study.comparisons],
        "costs": [asdict(cost) for cost in study.costs],
        "written": [str(path) for path in paths],
    }
