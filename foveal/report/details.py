"""What a kind of study tells of its runs besides the metric, as tables: by class, by size.

A run's `details["tables"]` holds, by a table's title, values by name: a metric's under each class.
`details["notes"]` holds what must be said below a table.
"""

from dataclasses import dataclass
from statistics import fmean, stdev

from foveal.report.numbers import Scale, finite
from foveal.report.table import baseline_of, in_order
from foveal.study.records import Comparison, Run, Study


@dataclass(frozen=True)
class DetailTable:
    """A table with a row per variant."""

    title: str
    headings: list[str]
    body: list[list[str]]
    note: str


def detail_tables(study: Study, scale: Scale) -> list[DetailTable]:
    """Other metrics with their verdicts, and every table that the runs hold."""
    tables = [_other_metric(study, scale, name) for name in study.also]
    seen: dict[str, tuple[list[str], str]] = {}
    for run in study.runs:
        for title, values in run.details.get("tables", {}).items():
            seen.setdefault(title, (list(values), run.details.get("notes", {}).get(title, "")))
    return tables + [_of_runs(study, scale, title, *shown) for title, shown in seen.items()]


def _of_runs(study: Study, scale: Scale, title: str, names: list[str], note: str) -> DetailTable:
    body = []
    for variant in in_order(study):
        runs = study.runs_of(variant.name)
        cells = [_mean(scale, [_value(run, title, name) for run in runs]) for name in names]
        body.append([variant.name, *cells])
    said = "Mean ± standard deviation over seeds; no verdict is given on parts."
    return DetailTable(title, ["variant", *names], body, f"{note} {said}".strip())


def _other_metric(study: Study, scale: Scale, metric: str) -> DetailTable:
    baseline = baseline_of(study)
    compared = {(c.variant, c.baseline): c for c in study.also[metric]}
    body = []
    for variant in in_order(study):
        values = [run.details.get("metrics", {}).get(metric) for run in study.runs_of(variant.name)]
        found = compared.get((variant.name, baseline or ""))
        body.append([variant.name, _mean(scale, values), *_comparison(scale, found)])
    unit = f", {scale.unit}" if scale.unit else ""
    headings = ["variant", f"{metric}{unit}", "difference", "interval", "p, corrected", "verdict"]
    note = "A second metric of the same runs, judged in the same way and by itself."
    return DetailTable(f"{metric}, judged too", headings, body, note)


def _comparison(scale: Scale, found: Comparison | None) -> list[str]:
    if found is None:
        return ["–"] * 4
    p = "–" if found.p_corrected is None else f"{found.p_corrected:.2g}"
    return [scale.signed(found.difference), scale.interval(*found.interval), p, found.verdict]


def _value(run: Run, title: str, name: str) -> float | None:
    return finite(run.details.get("tables", {}).get(title, {}).get(name))


def _mean(scale: Scale, values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    spread = f" ± {scale.value(stdev(known))}" if len(known) > 1 else ""
    return scale.value(fmean(known)) + spread
