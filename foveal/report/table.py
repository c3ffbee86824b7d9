"""A study as a table: the rows as data, and the same rows as text for people.

`verdict_rows` is pure and needs no library, so that the terminal can print what the page shows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean, stdev
from typing import Any

from foveal.core.errors import require
from foveal.report.facts import ROLES, places
from foveal.report.numbers import LEVEL, Scale, count, finite, in_bytes, p_value, percent, times
from foveal.study.records import Comparison, Study, Variant

Row = dict[str, Any]


def baseline_of(study: Study) -> str | None:
    """The name of the variant without attention."""
    return next((v.name for v in study.variants if v.role == "none"), None)


def in_order(study: Study) -> list[Variant]:
    """The variants as a reader wants them: the baseline, then each variant with its controls."""
    mains = [v for v in study.variants if v.control_of is None]
    mains.sort(key=lambda v: v.role != "none")
    ordered = []
    for main in mains:
        controls = [v for v in study.variants if v.control_of == main.name and v != main]
        ordered += [main, *sorted(controls, key=lambda v: v.role != "matched")]
    return ordered + [v for v in study.variants if v not in ordered]


def verdict_rows(study: Study) -> list[Row]:
    """One row per variant: its metric, its comparisons, its cost.

    What the study does not hold, or holds as NaN, is None. Verdicts are copied from
    `study.comparisons`; none is worked out here.

    The keys, besides those of `Variant`:

    - `seeds`, `seeds_planned`, `diverged` (finished runs whose metric is not a number);
    - `mean`, `sd`: the metric over the finished seeds;
    - `difference`, `low`, `high`, `p`, `p_corrected`, `verdict`, `smallest_effect`, `blind` (no
      result could have been significant) and `compared_seeds`: against no attention;
    - `matched_…`, `frozen_…` and `larger_…` with the first six of these: against the variant's own
      controls, and against a larger host;
    - `parameters`, `parameters_added`, `flops`, `flops_ratio`, `bytes_moved`, `peak_memory`,
      `latency_ratio`, `latency_low`, `latency_high`.
    """
    baseline = baseline_of(study)
    compared = {(c.variant, c.baseline): c for c in study.comparisons}
    costs = {c.variant: c for c in study.costs}
    bare = costs.get(baseline or "")
    bare_parameters = _parameters(study, baseline)
    rows = []
    for variant in in_order(study):
        runs = study.runs_of(variant.name)
        metrics = [m for run in runs if (m := finite(run.metric)) is not None]
        main = compared.get((variant.name, baseline or ""))
        cost = costs.get(variant.name)
        parameters = _parameters(study, variant.name)
        row: Row = {
            "variant": variant.name,
            "role": variant.role,
            "control_of": variant.control_of,
            "attention": variant.attention,
            "where": places(variant.where) or None,
            "seeds": len(runs),
            "seeds_planned": len(study.seeds),
            "diverged": len(runs) - len(metrics),
            "mean": fmean(metrics) if metrics else None,
            "sd": stdev(metrics) if len(metrics) > 1 else None,
            **_comparison(main),
            "smallest_effect": finite(main.smallest_effect) if main else None,
            "blind": main is not None and main.smallest_effect == inf,
            "compared_seeds": main.seeds if main else None,
        }
        for role in ("matched", "frozen", "larger"):
            beside = (None,) if role == "larger" else (variant.name,)
            control = next(
                (v for v in study.variants if v.role == role and v.control_of in beside), None
            )
            against = compared.get((variant.name, control.name)) if control else None
            row |= {f"{role}_{key}": value for key, value in _comparison(against).items()}
        latency = (cost.latency_ratio_interval if cost else None) or (None, None)
        row |= {
            "parameters": parameters,
            "parameters_added": _less(parameters, bare_parameters),
            "flops": cost.flops if cost else None,
            "flops_ratio": cost.flops / bare.flops if cost and bare and bare.flops else None,
            "bytes_moved": cost.bytes_moved if cost else None,
            "peak_memory": cost.peak_memory if cost else None,
            "latency_ratio": finite(cost.latency_ratio) if cost else None,
            "latency_low": finite(latency[0]),
            "latency_high": finite(latency[1]),
        }
        rows.append(row)
    return rows


def _comparison(comparison: Comparison | None) -> Row:
    if comparison is None:
        return dict.fromkeys(("difference", "low", "high", "p", "p_corrected", "verdict"))
    return {
        "difference": finite(comparison.difference),
        "low": finite(comparison.interval[0]),
        "high": finite(comparison.interval[1]),
        "p": finite(comparison.p),
        "p_corrected": finite(comparison.p_corrected),
        "verdict": comparison.verdict,
    }


def _parameters(study: Study, variant: str | None) -> int | None:
    """From the costs; a study under way has them in its runs."""
    measured = [c.parameters for c in study.costs if c.variant == variant]
    return next(iter(measured + [r.parameters for r in study.runs if r.variant == variant]), None)


def _less(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a - b


@dataclass(frozen=True)
class Column:
    """A column for people: its heading and how a row's cell is written."""

    heading: str
    cell: Callable[[Row, Scale], str]
    numeric: bool = True


def verdict_columns(scale: Scale, larger: bool = False) -> list[Column]:
    """What was found, in the order a reader asks for it.

    Args:
        scale: how the metric is written.
        larger: whether the study has a larger host among its controls.
    """
    unit = f", {scale.unit}" if scale.unit else ""
    difference = f", {scale.difference_unit}" if scale.difference_unit else ""
    return [
        Column("variant", lambda row, _: row["variant"], numeric=False),
        Column("role", lambda row, _: str(ROLES.get(row["role"], row["role"])), numeric=False),
        Column("seeds", _seeds),
        Column(f"{scale.metric}{unit}", _metric),
        Column(f"difference{difference}", lambda row, s: s.signed(row["difference"])),
        Column(f"{LEVEL} interval", lambda row, s: s.interval(row["low"], row["high"])),
        Column("p", lambda row, _: p_value(row["p"])),
        Column("p, corrected", lambda row, _: p_value(row["p_corrected"])),
        Column("verdict", lambda row, _: row["verdict"] or "–", numeric=False),
        Column("against a plain block", lambda row, s: _against(row, "matched", s), numeric=False),
        Column("against frozen gates", lambda row, s: _against(row, "frozen", s), numeric=False),
        *(
            [Column("against the larger", lambda row, s: _against(row, "larger", s), False)]
            * larger
        ),
    ]


def cost_columns() -> list[Column]:
    """What each variant costs, beside the bare host."""
    return [
        Column("variant", lambda row, _: row["variant"], numeric=False),
        Column("role", lambda row, _: str(ROLES.get(row["role"], row["role"])), numeric=False),
        Column("parameters", lambda row, _: count(row["parameters"])),
        Column("added", lambda row, _: count(row["parameters_added"], sign=True)),
        Column("FLOPs", lambda row, _: count(row["flops"])),
        Column("more FLOPs", lambda row, _: percent(row["flops_ratio"])),
        Column("memory moved", lambda row, _: in_bytes(row["bytes_moved"])),
        Column("peak memory", lambda row, _: in_bytes(row["peak_memory"])),
        Column("time, × bare host", lambda row, _: times(row["latency_ratio"])),
        Column("its interval", _latency),
    ]


def _seeds(row: Row, scale: Scale) -> str:
    done, planned = row["seeds"], row["seeds_planned"]
    return f"{done}" if done == planned else f"{done} of {planned}"


def _metric(row: Row, scale: Scale) -> str:
    mean = scale.value(row["mean"])
    return mean if row["sd"] is None else f"{mean} ± {scale.value(row['sd'])}"


def _against(row: Row, role: str, scale: Scale) -> str:
    if row[f"{role}_verdict"] is None:
        return "–"
    interval = scale.interval(row[f"{role}_low"], row[f"{role}_high"])
    return f"{row[f'{role}_verdict']}, {scale.signed(row[f'{role}_difference'])} ({interval})"


def _latency(row: Row, scale: Scale) -> str:
    low, high = row["latency_low"], row["latency_high"]
    return "–" if low is None or high is None else f"{times(low)} to {times(high)}"


def cells(rows: Sequence[Row], columns: Sequence[Column], scale: Scale) -> list[list[str]]:
    """The table's body as text, row by row."""
    return [[column.cell(row, scale) for column in columns] for row in rows]


def markdown(columns: Sequence[Column], body: Sequence[Sequence[str]]) -> str:
    """A table in GitHub's Markdown."""
    sides = ["---:" if column.numeric else ":---" for column in columns]
    escaped = [[_markdown(cell) for cell in line] for line in body]
    lines = [[column.heading for column in columns], sides, *escaped]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _markdown(text: str) -> str:
    for sign in "\\|*`<[":
        text = text.replace(sign, "\\" + sign)
    return " ".join(text.split())


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
} | {sign: "\\" + sign for sign in "%_&#${}"}


def latex_text(text: str) -> str:
    r"""Text that LaTeX prints as it stands.

    >>> print(latex_text("stage_ends & 95 % − #1"))
    stage\_ends \& 95 \% $-$ \#1
    """
    return "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))


def latex(columns: Sequence[Column], body: Sequence[Sequence[str]]) -> str:
    """A table with booktabs' rules; the document needs `\\usepackage{booktabs}`."""
    frame = require("pandas", "report").DataFrame(
        [[latex_text(cell) for cell in line] for line in body],
        columns=[latex_text(column.heading) for column in columns],
    )
    sides = "".join("r" if column.numeric else "l" for column in columns)
    return frame.to_latex(index=False, escape=False, column_format=sides)


def csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as data, unrounded, in the study's own units."""
    frame = require("pandas", "report").DataFrame(rows)
    return frame.to_csv(index=False, lineterminator="\n", float_format="%.10g")
