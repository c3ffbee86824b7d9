"""Paired differences, seed by seed."""

from collections.abc import Sequence
from typing import Any

from foveal.report.figure import BAND, COLOURS, INK, MARKERS, MUTED, new_figure, shorten, svg
from foveal.report.numbers import Scale
from foveal.report.series import paired_differences
from foveal.report.table import Row, baseline_of
from foveal.study.records import Study


def forest(study: Study, rows: Sequence[Row], scale: Scale, narrow: bool) -> str:
    """Paired differences: every seed a dot, the interval a bar, zero a line, and shaded what the
    design could not have seen. Wide, the labels stand beside the rows; narrow, above them."""
    lines = _forest_lines(study, rows)
    step = 0.5 if narrow else 0.34
    with new_figure(3.7 if narrow else 12, 0.85 + step * len(lines)) as figure:
        axes = figure.add_subplot()
        axes.grid(axis="y", visible=False)
        axes.axvline(0, color=INK, linewidth=1, zorder=2)
        for y, line in enumerate(lines):
            _forest_line(axes, y, line, scale)
        axes.set_ylim(len(lines) - 0.4, -0.75 if narrow else -0.6)
        axes.set_xlabel(f"difference in {scale.metric}, {scale.difference_unit}".rstrip(", "))
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        for y, line in enumerate(lines):
            if y and line["main"]:
                axes.axhline(y - (0.58 if narrow else 0.5), color=MUTED, linewidth=0.5)
        if narrow:
            axes.set_yticks([])
            beside = axes.get_yaxis_transform()
            for y, line in enumerate(lines):
                weight = "bold" if line["main"] else "normal"
                text = shorten(line["label"], 44)
                label = axes.text(0, y - 0.38, text, transform=beside, va="center", weight=weight)
                label.set(size=8, bbox={"facecolor": "white", "linewidth": 0, "pad": 0.5})
        else:
            axes.set_yticks(range(len(lines)), [shorten(x["label"], 44) for x in lines])
            for text, line in zip(axes.get_yticklabels(), lines, strict=True):
                text.set_fontweight("bold" if line["main"] else "normal")
            right = axes.secondary_yaxis("right")
            right.set_yticks(range(len(lines)), [_forest_words(x, scale) for x in lines])
            right.tick_params(length=0)
            right.spines["right"].set_visible(False)
        name = "forest-narrow" if narrow else "forest-wide"
        return svg(figure, name, "Paired differences per variant; the numbers are in the table")


def _forest_lines(study: Study, rows: Sequence[Row]) -> list[dict[str, Any]]:
    baseline = baseline_of(study)
    controls = {(v.control_of, v.role): v.name for v in study.variants}
    larger = next((v.name for v in study.variants if v.role == "larger"), None)
    beside = {
        "none": "",
        "matched": "against a plain block",
        "frozen": "against frozen gates",
        "larger": "against the next larger scale",
    }
    lines = []
    for row in rows:
        if row["role"] != "attention":
            continue
        for role, words in beside.items():
            against = controls.get((row["variant"], role))
            against = {"none": baseline, "larger": larger}.get(role, against)
            prefix = "" if role == "none" else f"{role}_"
            dots = paired_differences(study, row["variant"], against) if against else []
            if role != "none" and not dots and row[f"{role}_verdict"] is None:
                continue
            lines.append(
                {
                    "label": words or row["variant"],
                    "role": "attention" if role == "none" else role,
                    "main": role == "none",
                    "dots": dots,
                    "smallest": row["smallest_effect"] if role == "none" else None,
                }
                | {k: row[prefix + k] for k in ("difference", "low", "high", "verdict")}
            )
    return lines


def _forest_line(axes: Any, y: int, line: dict[str, Any], scale: Scale) -> None:
    colour, factor = COLOURS[line["role"]], scale.factor
    if line["smallest"] is not None:
        reach = line["smallest"] * factor
        axes.fill_betweenx([y - 0.22, y + 0.3], -reach, reach, color=BAND, linewidth=0, zorder=1)
    dots = [dot * factor for dot in line["dots"]]
    spread = [y + 0.04 + 0.07 * (i % 5 - 2) for i in range(len(dots))]
    axes.scatter(dots, spread, s=11, color=colour, alpha=0.45, linewidths=0, zorder=3)
    if line["difference"] is None:
        return
    if line["low"] is not None and line["high"] is not None:
        ends = [line["low"] * factor, line["high"] * factor]
        width = 2.2 if line["main"] else 1.4
        axes.plot(ends, [y + 0.04] * 2, color=colour, linewidth=width, zorder=4)
    axes.plot(
        [line["difference"] * factor],
        [y + 0.04],
        marker=MARKERS[line["role"]],
        markersize=8 if line["main"] else 6.5,
        color=colour,
        markeredgecolor="white",
        markeredgewidth=0.8,
        zorder=5,
    )


def _forest_words(line: dict[str, Any], scale: Scale) -> str:
    if line["verdict"] is None:
        return "no verdict yet"
    interval = scale.interval(line["low"], line["high"])
    return f"{scale.signed(line['difference'])} ({interval})  {line['verdict']}"
