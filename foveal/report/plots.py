"""The metric against what it costs, and how it was learned."""

from collections.abc import Sequence
from typing import Any

from foveal.core.errors import require
from foveal.report.figure import COLOURS, DASHES, MARKERS, MUTED, new_figure, shorten, svg
from foveal.report.numbers import Scale
from foveal.report.series import learning_curve, pareto_front
from foveal.report.table import Row
from foveal.study.records import Study


def tradeoff(
    rows: Sequence[Row], scale: Scale, key: str, label: str, relative: bool = False
) -> str | None:
    """The metric against a cost, with the Pareto front of the means; None without such costs.

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
        axes.step(
            [costs[i] for i in front],
            [values[i] for i in front],
            where="post",
            color=MUTED,
            linewidth=1.2,
            zorder=2,
        )
        obstacles = []
        for i, row in enumerate(shown):
            colour, spread = COLOURS[row["role"]], (row["sd"] or 0) * scale.factor
            fill = colour if i in front else "white"
            axes.errorbar(
                costs[i],
                values[i],
                yerr=spread or None,
                marker=MARKERS[row["role"]],
                markersize=6 if row["role"] != "matched" else 4.5,
                color=colour,
                markerfacecolor=fill,
                elinewidth=0.8,
                zorder=4 if i in front else 3,
            )
            obstacles.append((costs[i], values[i], spread))
        axes.margins(x=0.12, y=0.12)
        axes.set_xlabel(label)
        axes.set_ylabel(f"{scale.metric}, {scale.unit}".rstrip(", "))
        named = [i for i in front if shown[i]["role"] != "matched"]
        named += [i for i, row in enumerate(shown) if i not in front and row["role"] != "matched"]
        texts = [(shorten(shown[i]["variant"], 18), costs[i], values[i], i in front) for i in named]
        _place_labels(figure, axes, texts, obstacles)
        return svg(figure, f"tradeoff-{key.replace('_', '-')}", f"{scale.metric} against {label}")


def _place_labels(figure: Any, axes: Any, texts: list, obstacles: list) -> None:
    """Put each name beside its point where it covers nothing; one that fits nowhere is left out,
    and read from the table."""
    transforms = require("matplotlib.transforms", "report")
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    inside, pixel = axes.get_window_extent(renderer), figure.dpi / 72
    taken = []
    for x, y, spread in obstacles:
        (px, low), (_, high) = axes.transData.transform([(x, y - spread), (x, y + spread)])
        middle = axes.transData.transform((x, y))[1]
        taken.append(transforms.Bbox([[px - pixel, low], [px + pixel, high]]))
        box = [[px - 3.5 * pixel, middle - 3.5 * pixel], [px + 3.5 * pixel, middle + 3.5 * pixel]]
        taken.append(transforms.Bbox(box))
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


def learning_curves(study: Study, scale: Scale) -> list[tuple[str, str]]:
    """(variant, plot) for each attention variant, beside no attention and its own controls; the
    same axes in all."""
    curves = {v.name: learning_curve(study, v.name) for v in study.variants}
    values = [mean for curve in curves.values() for _, mean, _ in curve]
    if not values:
        return []
    low, high = min(values) * scale.factor, max(values) * scale.factor
    margin = 0.06 * (high - low) or 1
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
