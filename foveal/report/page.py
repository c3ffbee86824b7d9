"""The report: one page, and its table in three more formats."""

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from foveal.core.errors import require
from foveal.core.files import write_whole
from foveal.report.branch_plots import branch_key, shade, weight_limits, weight_plot
from foveal.report.branches import (
    MOST_CLASSES,
    branch_columns,
    branch_data,
    branch_rows,
    telling_classes,
    unweighed,
    weighed,
    written,
)
from foveal.report.details import detail_tables
from foveal.report.facts import ROLES, seed_facts, settings, variant_facts
from foveal.report.figure import role_key
from foveal.report.forest import forest
from foveal.report.numbers import LEVEL, Scale, scale_of
from foveal.report.plots import learning_curves, tradeoff
from foveal.report.series import late_start
from foveal.report.table import (
    Column,
    Row,
    cells,
    cost_columns,
    csv,
    in_order,
    latex,
    markdown,
    verdict_columns,
    verdict_rows,
)
from foveal.report.words import (
    answers,
    headline,
    note,
    notices,
    subtitle,
    unseen,
)
from foveal.study.records import Study, load_study


def write_report(study_folder: str | Path) -> list[Path]:
    """Write a study's report into its folder `report/`.

    One page that needs nothing but itself (`index.html`), and its tables as `table.md`,
    `table.tex` (for booktabs) and `table.csv` (unrounded); `weights.csv` where mixes weigh their
    branches. The same study gives the same bytes. A study under way may be reported; what it does
    not hold yet is said to be missing.

    Args:
        study_folder: the folder that `foveal study` wrote.

    Returns:
        The paths written, the page first.

    Raises:
        FovealError: if the folder holds no study, a file in it is damaged, or the report cannot be
            written there.
        MissingExtraError: if matplotlib, jinja2 or pandas is not installed.
    """
    for library in ("matplotlib", "jinja2", "pandas"):
        require(library, "report")
    study = load_study(study_folder)
    scale = scale_of(study)
    rows = verdict_rows(study)
    parts = weighed(study)
    contents = {
        "index.html": page(study, rows, scale),
        "table.md": _markdown(study, rows, scale),
        "table.tex": _latex(study, rows, scale),
        "table.csv": csv(rows),
    }
    if parts:
        contents["weights.csv"] = csv(list(branch_data(parts)))
    folder = study.folder / "report"
    return [write_whole(folder / name, content) for name, content in contents.items()]


def page(study: Study, rows: Sequence[Row], scale: Scale) -> str:
    """The report as one HTML page."""
    jinja2 = require("jinja2", "report")
    safe = require("markupsafe", "report").Markup
    source = files("foveal.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    columns, costs = verdict_columns(scale, _larger(study)), cost_columns()
    asked = any(row["role"] == "attention" for row in rows)
    tradeoffs = [
        tradeoff(rows, scale, "parameters", "more parameters than the bare host, %", relative=True),
        tradeoff(rows, scale, "flops", "more FLOPs than the bare host, %", relative=True),
        tradeoff(rows, scale, "latency_ratio", "time of a forward pass, × the bare host"),
    ]
    text = environment.from_string(source).render(
        study=study,
        subtitle=subtitle(study),
        headline=headline(rows),
        notices=list(notices(study, rows)),
        answers=answers(study, rows, scale),
        rows=rows,
        roles={row["role"] for row in rows},
        role_words=ROLES,
        level=LEVEL,
        metric=scale.title,
        details=detail_tables(study, scale),
        verdict_columns=columns,
        verdict_body=cells(rows, columns, scale),
        verdict_note=note(study, rows, scale),
        cost_columns=costs,
        cost_body=cells(rows, costs, scale),
        forest_wide=safe(forest(study, rows, scale, narrow=False)) if asked else None,
        forest_narrow=safe(forest(study, rows, scale, narrow=True)) if asked else None,
        tradeoffs=[(safe(pair[0]), pair[1]) for pair in tradeoffs if pair],
        curves=[(name, safe(plot)) for name, plot in learning_curves(study, scale)],
        curves_cut=late_start(study) is not None,
        mixes=_mixes(study),
        unweighed=unweighed(study),
        most_classes=MOST_CLASSES,
        branch_key=lambda i: safe(branch_key(i)),
        breakable=lambda name: safe(re.sub(r"([_/@.-])", r"\1<wbr>", str(safe.escape(name)))),
        key=lambda role, line=False: safe(role_key(role, line)),
        unseen=unseen(study, rows, scale),
        design=list(settings({k: v for k, v in study.plan.items() if k not in _SHOWN_ELSEWHERE})),
        config=list(settings({k: v for k, v in study.config.items() if k != "variants"})),
        environment=list(settings(study.plan.get("environment") or {})),
        variants=[variant_facts(study, variant) for variant in in_order(study)],
        seeds=seed_facts(study),
    )
    return text + "\n"


def _mixes(study: Study) -> list[dict[str, Any]]:
    """For the page: each variant that weighs branches, with a plot and the classes of each part."""
    safe = require("markupsafe", "report").Markup
    parts = weighed(study)
    mixes: dict[str, dict[str, Any]] = {}
    for number, part in enumerate(parts):
        mix = {"name": part.variant, "attention": part.attention, "parts": []}
        lines = [
            (name, [(written(spread), shade(spread, part)) for spread in spreads])
            for name, spreads in telling_classes(part)
        ]
        mixes.setdefault(part.variant, mix)["parts"].append(
            {
                "part": part,
                "plot": safe(weight_plot(part, number, weight_limits(parts))),
                "all": [written(spread) for spread in part.epochs[-1]],
                "lines": lines,
            }
        )
    return list(mixes.values())


_SHOWN_ELSEWHERE = frozenset(
    (
        *("name", "config", "variants", "seeds", "environment", "places", "notes", "power"),
        "classes",
    )
)


def _tables(
    study: Study, rows: Sequence[Row], scale: Scale
) -> Iterator[tuple[Sequence[Row], list[Column]]]:
    yield rows, verdict_columns(scale, _larger(study))
    if study.costs:
        yield rows, cost_columns()
    if parts := weighed(study):
        yield branch_rows(parts), branch_columns()


def _larger(study: Study) -> bool:
    return any(variant.role == "larger" for variant in study.variants)


def _markdown(study: Study, rows: Sequence[Row], scale: Scale) -> str:
    tables = [markdown(c, cells(r, c, scale)) for r, c in _tables(study, rows, scale)]
    return "\n".join([*tables, f"{subtitle(study)}. {note(study, rows, scale)}\n"])


def _latex(study: Study, rows: Sequence[Row], scale: Scale) -> str:
    tables = [latex(c, cells(r, c, scale)) for r, c in _tables(study, rows, scale)]
    return "\n".join([f"% {' '.join(study.name.split())}: {subtitle(study)}\n", *tables])
