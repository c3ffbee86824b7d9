"""The report: one page, and its table in three more formats."""

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from foveal.core.errors import require
from foveal.core.files import write_whole
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
    `table.tex` (for booktabs) and `table.csv` (unrounded). The same study gives the same bytes. A
    study under way may be reported; what it does not hold yet is said to be missing.

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
    contents = {
        "index.html": page(study, rows, scale),
        "table.md": _markdown(study, rows, scale),
        "table.tex": _latex(study, rows, scale),
        "table.csv": csv(rows),
    }
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


_SHOWN_ELSEWHERE = frozenset(
    ("name", "config", "variants", "seeds", "environment", "places", "notes", "power")
)


def _larger(study: Study) -> bool:
    return any(variant.role == "larger" for variant in study.variants)


def _tables(study: Study, scale: Scale) -> list[list[Column]]:
    return [verdict_columns(scale, _larger(study))] + ([cost_columns()] if study.costs else [])


def _markdown(study: Study, rows: Sequence[Row], scale: Scale) -> str:
    tables = [markdown(c, cells(rows, c, scale)) for c in _tables(study, scale)]
    return "\n".join([*tables, f"{subtitle(study)}. {note(study, rows, scale)}\n"])


def _latex(study: Study, rows: Sequence[Row], scale: Scale) -> str:
    tables = [latex(c, cells(rows, c, scale)) for c in _tables(study, scale)]
    return "\n".join([f"% {' '.join(study.name.split())}: {subtitle(study)}\n", *tables])
