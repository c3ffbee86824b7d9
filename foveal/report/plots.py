"""The metric against what it costs, and how it was learned."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from foveal.core.errors import require
from foveal.report.figure import COLOURS, DASHES, MARKERS, MUTED, new_figure, shorten, svg
from foveal.report.numbers import Scale
from foveal.report.series import late_start, learning_curve, pareto_front
from foveal.report.table import Row
from foveal.study.records import Study


def tradeoff(
    rows: Sequence[Row], scale: Scale, key: str, label: str, relative: bool = False
) -> tuple[str, list[str]] | None:
    """The metric against a cost, and the names on the Pareto front of the means, cheapest first;
    None without such costs.

    Variants with frozen gates are left out, for nobody would ship them.
    """
    base = next((row[key] for row in rows if row["role"] == "none"), None) if relative else 1
    shown = [r for r in rows if r["role"] != "frozen" and None not in (r["mean"], r[key])]
    if len(shown) < 2 or not base:
        return None
    costs = [100 * (row[key] / base - 1) if relative else row[key] for row in shown]
    values = [row["mean"] * scale.factor for row in shown]
    front = pareto_front(list(zip(costs, values, strict=True)))
    with new_figure(3.8, 3.1) as figure:
        axes = figure.add_subplot()
        more = [cost for cost in costs if cost > 0]
        if relative and more and max(more) > 30 * min(more) and min(costs) >= 0:
            axes.set_xscale("symlog", linthresh=min(more))
            axes.xaxis.set_major_formatter(lambda tick, _: f"{tick:g}")
        corners = [(costs[b], values[a]) for a, b in pairwise(front)]
        steps = [(costs[front[0]], values[front[0]])]
        for corner, i in zip(corners, front[1:], strict=True):
            steps += [corner, (costs[i], values[i])]
        axes.plot(*zip(*steps, strict=True), color=MUTED, linewidth=1.2, zorder=2)
        for i, row in enumerate(shown):
            colour = COLOURS[row["role"]]
            axes.errorbar(
                costs[i],
                values[i],
                yerr=(row["sd"] or 0) * scale.factor or None,
                xerr=_reach(row, key),
                marker=MARKERS[row["role"]],
                markersize=6 if row["role"] != "matched" else 4.5,
                color=colour,
                ecolor=(colour, 0.9 if len(shown) < 12 else 0.35),
                markerfacecolor=colour if i in front else "white",
                elinewidth=0.9,
                zorder=4 if i in front else 3,
            )
        axes.margins(x=0.12, y=0.12)
        axes.set_xlabel(label)
        axes.set_ylabel(f"{scale.metric}, {scale.unit}".rstrip(", "))
        named = [i for i in front if shown[i]["role"] != "matched"]
        named += [i for i, row in enumerate(shown) if i not in front and row["role"] != "matched"]
        texts = [(shorten(shown[i]["variant"], 18), costs[i], values[i], i in front) for i in named]
        _place_labels(figure, axes, texts)
        plot = svg(figure, f"tradeoff-{key.replace('_', '-')}", f"{scale.metric} against {label}")
        return plot, [shown[i]["variant"] for i in front]


def _reach(row: Row, key: str) -> list[list[float]] | None:
    """How far the interval of a measured cost reaches to either side, if it was measured."""
    low, high = row["latency_low"], row["latency_high"]
    if key != "latency_ratio" or low is None or high is None:
        return None
    return [[max(row[key] - low, 0)], [max(high - row[key], 0)]]


def _place_labels(figure: Any, axes: Any, texts: list[tuple[str, float, float, bool]]) -> None:
    """Put each name beside its point where it covers nothing; one that fits nowhere is left out,
    and read from the table."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    inside = axes.get_window_extent(renderer)
    taken = [box for line in axes.get_lines() for box in _pieces(line, figure.dpi / 72)]
    taken += [box for bars in axes.collections for box in _pieces(bars, figure.dpi / 72)]
    sides = [
        (dx, dy, "left" if dx > 0 else "right")
        for away in (6, 12)
        for dx, dy in ((away, 0), (-away, 0), (5, away), (-5, away), (5, -away), (-5, -away))
    ]
    for name, x, y, bold in texts:
        for dx, dy, side in sides:
            text = axes.annotate(
                name,
                (x, y),
                (dx, dy),
                textcoords="offset points",
                ha=side,
                va="center",
                size=8,
                weight="bold" if bold else "normal",
                zorder=6,
            )
            box = text.get_window_extent(renderer).padded(1)
            within = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0
            if within and box.y1 <= inside.y1 and not box.count_overlaps(taken):
                taken.append(box)
                break
            text.remove()


def _pieces(artist: Any, pixel: float) -> list[Any]:
    """Boxes, in pixels, around each straight piece of a line, a mark or a set of bars."""
    box = require("matplotlib.transforms", "report").Bbox
    paths = artist.get_paths() if hasattr(artist, "get_paths") else [artist.get_path()]
    boxes = []
    for path in paths:
        points = artist.get_transform().transform(path.vertices)
        reach = (3.5 if len(points) == 1 else 0.8) * pixel
        for (x0, y0), (x1, y1) in pairwise([points[0], *points]):
            low, high = (min(x0, x1), min(y0, y1)), (max(x0, x1), max(y0, y1))
            boxes.append(box([low, high]).padded(reach))
    return boxes


def learning_curves(study: Study, scale: Scale) -> list[tuple[str, str]]:
    """(variant, plot) for each attention variant, beside no attention and its own controls; the
    same axes in all.

    Where every curve is steep the late ones would be pressed together; so the axis is that of the
    epochs from `late_start`.
    """
    curves = {v.name: learning_curve(study, v.name) for v in study.variants}
    start = late_start(study)
    values = [
        end
        for curve in curves.values()
        for epoch, mean, spread in curve
        if start is None or epoch >= start
        for end in (mean - spread, mean + spread)
    ]
    if not values:
        return []
    low, high = min(values) * scale.factor, max(values) * scale.factor
    margin = 0.05 * (high - low) or 1
    plots = []
    for variant in (v for v in study.variants if v.role == "attention"):
        others = [v for v in study.variants if v.role == "none" or v.control_of == variant.name]
        with new_figure(3.8, 2.6) as figure:
            axes = figure.add_subplot()
            for other in [*others, variant]:
                _curve(axes, curves[other.name], other.role, scale.factor)
            axes.set_ylim(low - margin, high + margin)
            axes.set_xlabel("epoch")
            axes.set_ylabel(f"validation {scale.metric}, {scale.unit}".rstrip(", "))
            axes.xaxis.get_major_locator().set_params(integer=True)
            label = f"Learning curves of {variant.name} and its controls"
            plots.append((variant.name, svg(figure, f"curve-{len(plots)}", label)))
    return plots


def _curve(axes: Any, curve: list[tuple[float, float, float]], role: str, factor: float) -> None:
    if not curve:
        return
    epochs, means, spreads = zip(*curve, strict=True)
    low = [(m - s) * factor for m, s in zip(means, spreads, strict=True)]
    high = [(m + s) * factor for m, s in zip(means, spreads, strict=True)]
    line = axes.plot(
        epochs,
        [m * factor for m in means],
        color=COLOURS[role],
        linestyle=DASHES[role],
        linewidth=1.8 if role == "attention" else 1.3,
    )[0]
    if len(epochs) == 1:
        line.set_marker(MARKERS[role])
    if role in ("none", "attention"):
        axes.fill_between(epochs, low, high, color=COLOURS[role], alpha=0.15, linewidth=0)
