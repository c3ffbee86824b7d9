"""Plots of how mixes weighed their branches."""

from collections.abc import Sequence

from foveal.report.branches import Spread, Weighed
from foveal.report.figure import INK, MUTED, new_figure, svg

LINES = (
    ("#0072B2", "none"),
    ("#D55E00", "6 3"),
    ("#009E73", "2 2"),
    ("#AA4499", "7 2 2 2"),
    ("#56B4E9", "10 2"),
    ("#8C6D00", "1 3"),
)
"""Colour and dashes of the first branch, the second, and so on, and around again."""
LEAST_SPAN = 0.1
"""Differences that are smaller than this must not fill a plot."""


def branch_line(branch: int) -> tuple[str, str]:
    return LINES[branch % len(LINES)]


def branch_key(branch: int) -> str:
    """A branch's line for a key beside the plot."""
    colour, dashes = branch_line(branch)
    return (
        '<svg width="30" height="12" aria-hidden="true"><path d="M1 6H29" fill="none"'
        f' stroke="{colour}" stroke-width="2.2" stroke-dasharray="{dashes}"/></svg>'
    )


def weight_limits(parts: Sequence[Weighed]) -> tuple[float, float]:
    """The ends of the axis of weights, the same in all plots."""
    values = [
        min(max(mean + sign * deviation, 0), 1)
        for part in parts
        for spreads in part.epochs
        for mean, deviation in spreads
        for sign in (-1, 1)
    ]
    low, high = min(values), max(values)
    more = max(LEAST_SPAN - (high - low), 0.1 * (high - low)) / 2
    return low - more, high + more


def weight_plot(part: Weighed, number: int, limits: tuple[float, float]) -> str:
    """The weights of a part's branches after every epoch, with a band of one standard deviation."""
    epochs = range(1, len(part.epochs) + 1)
    with new_figure(3.8, 2.4) as figure:
        axes = figure.add_subplot()
        axes.axhline(1 / len(part.branches), color=MUTED, linewidth=0.8, linestyle=(0, (1, 3)))
        for i in range(len(part.branches)):
            means = [spreads[i][0] for spreads in part.epochs]
            low = [mean - spreads[i][1] for mean, spreads in zip(means, part.epochs, strict=True)]
            high = [mean + spreads[i][1] for mean, spreads in zip(means, part.epochs, strict=True)]
            colour, dashes = branch_line(i)
            pattern = "-" if dashes == "none" else (0, tuple(map(int, dashes.split())))
            mark = "o" if len(epochs) == 1 else ""
            axes.plot(
                epochs, means, color=colour, linestyle=pattern, linewidth=1.8, marker=mark, zorder=3
            )
            axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_ylim(*limits)
        axes.set_xlabel("epoch")
        axes.set_ylabel("weight")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.tick_params(colors=INK)
        label = f"Weights of the branches of {part.node} at {part.place} over training"
        return svg(figure, f"weights-{number}", label)


def shade(spread: Spread, part: Weighed) -> str:
    """The background of a cell: the larger the weight among the part's own, the darker."""
    means = [mean for _, spreads in part.classes for mean, _ in spreads]
    low, high = min(means), max(means)
    middle = (low + high) / 2
    half = max(high - low, LEAST_SPAN) / 2
    share = (spread[0] - middle + half) / (2 * half)
    return f"rgba(0, 114, 178, {0.42 * share:.2f})"
