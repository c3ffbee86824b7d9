"""The frame of the report's plots: SVG that stands inside a page.

Colours are Okabe and Ito's, told apart by people with any colour vision; each role also has its own
marker and line, for print. Text stays text, so that it can be searched and read aloud.
"""

import re
from collections.abc import Mapping
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import Any

from foveal.core.errors import require

INK, MUTED, GRID, BAND = "#1f2328", "#59636e", "#dfe3e8", "#eceff2"
COLOURS = {
    "none": "#4d4d4d",
    "attention": "#0072B2",
    "matched": "#D55E00",
    "frozen": "#AA4499",
    "larger": "#009E73",
}
MARKERS = {"none": "D", "attention": "o", "matched": "s", "frozen": "^", "larger": "P"}
DASHES = {
    "none": (0, (4, 2)),
    "attention": "-",
    "matched": (0, (1, 1.2)),
    "frozen": "-.",
    "larger": (0, (6, 1.5)),
}

_STYLE: Mapping[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "foveal",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}
_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


@contextmanager
def new_figure(width: float, height: float):
    """A figure of its own, outside pyplot's list, in the report's style."""
    matplotlib = require("matplotlib", "report")
    figures = require("matplotlib.figure", "report")
    agg = require("matplotlib.backends.backend_agg", "report")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's matplotlibrc must not change the page
        matplotlib.rcParams.update(_STYLE)
        figure = figures.Figure(figsize=(width, height), layout="constrained")
        agg.FigureCanvasAgg(figure)  # measures text
        yield figure


def svg(figure: Any, name: str, label: str) -> str:
    """The figure as an `<svg>` element whose ids begin with `name`, the same bytes every time."""
    stream = StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = text.replace("'DejaVu Sans'", _FONTS)
    head, rest = text.split(">", 1)
    head = re.sub(r'\s(xmlns:xlink|version)="[^"]*"', "", head)
    rest = rest.replace("xlink:href=", "href=")
    return f'{head} role="img" aria-label="{escape(label)}">{rest}'


def shorten(name: str, length: int) -> str:
    """A long name without its middle, for its ends are what tells names apart.

    >>> shorten("channel_spatial_attention", 11)
    'chann…ntion'
    """
    if len(name) <= length:
        return name
    half = (length - 1) // 2
    return f"{name[: length - 1 - half]}…{name[-half:]}"


def role_key(role: str, line: bool = False) -> str:
    """A role's mark for a key beside the plots: a marker, or its line."""
    colour = COLOURS[role]
    if line:
        dashes = {"none": "6 3", "matched": "2 2", "frozen": "7 2 2 2", "larger": "9 2"}.get(
            role, "none"
        )
        shape = (
            f'<path d="M1 6H29" fill="none" stroke="{colour}" stroke-width="2.2"'
            f' stroke-dasharray="{dashes}"/>'
        )
        return f'<svg width="30" height="12" aria-hidden="true">{shape}</svg>'
    shape = {
        "none": f'<path d="M6 1L11 6L6 11L1 6Z" fill="{colour}"/>',
        "attention": f'<circle cx="6" cy="6" r="5" fill="{colour}"/>',
        "matched": f'<rect x="2" y="2" width="8" height="8" fill="{colour}"/>',
        "frozen": f'<path d="M6 1L11.5 11H.5Z" fill="{colour}"/>',
        "larger": f'<path d="M4 1H8V4H11V8H8V11H4V8H1V4H4Z" fill="{colour}"/>',
    }[role]
    return f'<svg width="12" height="12" aria-hidden="true">{shape}</svg>'
