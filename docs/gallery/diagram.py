"""A mechanism as a small picture: what goes in, the weights it really returned, what comes out.

Inline SVG whose colours are the page's own, so that it reads in light and dark; one panel for each
part, so that a narrow window can stack them.
"""

from html import escape
from math import isqrt

from torch import Tensor

from docs.gallery.axes import declared_axes, in_words
from docs.gallery.example import Example
from foveal.core.card import Card

MOST = 40
"""Most rows or columns of weights that are drawn; of more, the first."""

_LEVELS = 6
_UNNAMED = "?"
_NAMES = {
    "map": "CHW",
    "maps": "CHW",
    "tokens": "NC",
    "video": "TCHW",
    "scores": "K",
    "points": "N",
}
_OPERATIONS = {
    "gate": ("⊙", "times the input"),
    "pair": ("Σ", "weighted sums of values"),
    "spectrum": ("⊙", "times the spectrum"),
    "branch": ("Σ", "weighted sum of branches"),
    "fusion": ("⊕", "both inputs, shared out"),
    "block": ("⋯", "the rest of the block"),
}


def diagram(card: Card, example: Example) -> str:
    """The whole picture, as HTML."""
    inputs = [
        _panel(_block(shape, card.inputs[name]), f"{name}: {_sizes(shape, card.inputs[name])}")
        for name, shape in example.inputs.items()
    ]
    given = f'<div class="g-inputs">{"".join(inputs)}</div>'
    parts = [given]
    if example.weights is not None:
        parts.append(_panel(*_weights(card, example)))
    sign, words = _OPERATIONS[_operation(card)]
    parts.append(_panel(_sign(sign), escape(words)))
    out = _block(example.output, card.output)
    parts.append(_panel(out, f"y: {_sizes(example.output, card.output)}"))
    arrow = '<span class="g-arrow" aria-hidden="true"></span>'
    return f'<div class="g-flow">{arrow.join(parts)}</div>'


def _operation(card: Card) -> str:
    if card.family in ("block", "branch", "fusion"):
        return card.family
    axes = [axis for axis in declared_axes(card)[1:] if axis != "1"]
    if "f" in axes:
        return "spectrum"
    sums = axes[-2:] in (["c", "c"], ["d", "d"], ["n", "n"])
    gathers = card.family == "channel" and axes == ["h", "w"]  # one context from all positions
    gates = card.family in ("channel", "spatial", "channel_spatial")
    return "gate" if gates and not sums and not gathers else "pair"


def _panel(picture: str, caption: str) -> str:
    return f'<div class="g-panel">{picture}<small>{caption}</small></div>'


def _svg(width: float, height: float, body: str, says: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'role="img" aria-label="{escape(says, quote=True)}">{body}</svg>'
    )


def _sizes(shape: tuple[int, ...], layout: str) -> str:
    named = zip(_NAMES[layout], shape[1:], strict=False)
    return escape(", ".join(f"{name} = {size}" for name, size in named))


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"/>'


def _block(shape: tuple[int, ...], layout: str) -> str:
    """A map as a box of channels, tokens as rows, a video as boxes one behind another."""
    says = f"{layout}, {_sizes(shape, layout)}"
    if layout == "scores":
        cells = "".join(_rect(1 + 8 * i, 1, 8, 14, "g-box") for i in range(min(shape[1], 10)))
        return _svg(82, 16, cells, says)
    if layout == "points":
        dots = "".join(
            f'<circle class="g-dot" cx="{4 + 56 * (7 * i % 10) / 10:g}" '
            f'cy="{6 + 56 * ((3 * i * i + i) % 10) / 10:g}" r="3"/>'
            for i in range(10)
        )
        return _svg(62, 62, _rect(1, 1, 60, 60, "g-face") + dots, says)
    if layout == "tokens":
        rows = "".join(_rect(1, 1 + 9 * i, 56, 6, "g-box") for i in range(9))
        return _svg(58, 84, rows, says)
    if layout != "video":
        return _svg(76, 76, _box(1, 1), says)
    frames, step = min(shape[1], 4), 13
    places = [(1 + step * i, 1 + step * (frames - 1 - i)) for i in reversed(range(frames))]
    boxes = "".join(_box(x, y, front=42, depth=6) for x, y in places)
    side = 50 + step * (frames - 1)
    return _svg(side, side, boxes, says)


def _box(x: float, y: float, front: float = 54, depth: float = 20) -> str:
    """A box seen from the front, the upper right corner behind."""
    top = f"M{x:g} {y + depth:g}l{depth:g} {-depth:g}h{front:g}l{-depth:g} {depth:g}z"
    side = f"M{x + front:g} {y + depth:g}l{depth:g} {-depth:g}v{front:g}l{-depth:g} {depth:g}z"
    steps = [front * i / 6 for i in range(1, 6)]
    lines = "".join(f"M{x + step:g} {y + depth:g}v{front:g}" for step in steps)
    lines += "".join(f"M{x:g} {y + depth + step:g}h{front:g}" for step in steps)
    return (
        f'<path class="g-side" d="{top}"/><path class="g-side" d="{side}"/>'
        f'{_rect(x, y + depth, front, front, "g-face")}<path class="g-grid" d="{lines}"/>'
    )


def _sign(sign: str) -> str:
    return _svg(
        44,
        44,
        '<circle class="g-face" cx="22" cy="22" r="20"/>'
        f'<text class="g-sign" x="22" y="23">{sign}</text>',
        sign,
    )


def _weights(card: Card, example: Example) -> tuple[str, str]:
    """The weights as a grid of cells, and a caption that names their axes."""
    weights = example.weights
    assert weights is not None
    names, sizes = _named(card, example, weights)
    leading, grid = _grid_of(weights, names)
    shown = grid[:MOST, :MOST]
    rows, columns = shown.shape
    cell = max(3.0, min(14.0, 150 / max(rows, columns)))
    behind = min(2, leading - 1)
    offset, left, height = 5 * behind, 1, rows * cell
    body = "".join(
        _rect(left + 5 * i, 1 + offset - 5 * i, columns * cell, height, "g-face")
        for i in range(behind, -1, -1)
    )
    body += _cells(shown, cell, left, 1 + offset)
    picture = _svg(columns * cell + 2 + offset, height + 2 + offset, body, "attention weights")
    named = " × ".join(
        f"{size} {in_words(name, names, card.family)}".replace(_UNNAMED, "").strip()
        for name, size in zip(names, sizes, strict=True)
        if name and size > 1
    )
    cut = " (a part is drawn)" if shown.shape != grid.shape else ""
    return picture, f"<b>weights</b> {escape(named or 'one number')}{cut}"


def _named(card: Card, example: Example, weights: Tensor) -> tuple[list[str], list[int]]:
    """Names and sizes of the axes; an axis of one entry that means nothing has no name."""
    declared = declared_axes(card)
    if declared and declared[0].startswith("*"):  # any number of axes, which have no names
        missing = weights.ndim - len(declared) + 1
        declared = [""] * missing + declared[1:]
    if len(declared) != weights.ndim:
        same = tuple(weights.shape) == example.output and card.output in _NAMES
        declared = list(f"b{_NAMES[card.output].lower()}") if same else [_UNNAMED] * weights.ndim
    declared = [axis.lstrip("_#") for axis in declared]
    sizes = list(weights.shape)
    names = ["" if axis == "1" else axis for axis in declared]
    if names[0] == "b" and sizes[0] == example.batch:
        names[0] = ""
    return names, sizes


def _grid_of(weights: Tensor, names: list[str]) -> tuple[int, Tensor]:
    """How many grids there are, and the first one: two axes that belong together."""
    weights = weights.float()
    if "h" in names and "w" in names and weights.ndim > 3:
        taps = next((i for i, n in enumerate(names) if n in ("k", "taps", "n") and i > 0), None)
        if taps is not None and isqrt(weights.shape[taps]) ** 2 == weights.shape[taps]:
            middle = [size // 2 if n in ("h", "w") else 0
                      for n, size in zip(names, weights.shape, strict=True)]  # fmt: skip
            index = tuple(slice(None) if i == taps else at for i, at in enumerate(middle))
            side = isqrt(weights.shape[taps])
            return weights.numel() // side**2, weights[index].reshape(side, side)
        if {"k", "taps", "keys"}.isdisjoint(names) and "p" not in names:
            row, column = names.index("h"), names.index("w")
            index = tuple(slice(None) if i in (row, column) else 0 for i in range(weights.ndim))
            grid = weights[index]
            return weights.numel() // grid.numel(), grid
    squeezed = weights[(0,)] if weights.ndim > 1 else weights
    while squeezed.ndim > 2 and squeezed.shape[-1] == 1:
        squeezed = squeezed[..., 0]
    if squeezed.ndim == 2 and squeezed.shape[-1] == 1 and squeezed.shape[0] <= MOST:
        return 1, squeezed.mT if squeezed.shape[0] < 4 else squeezed
    if squeezed.ndim == 1:
        return 1, squeezed[:, None]
    grid = squeezed[(0,) * (squeezed.ndim - 2)]
    return weights.numel() // grid.numel(), grid


def _cells(grid: Tensor, cell: float, left: float, top: float) -> str:
    """One path for each level of darkness."""
    low, high = grid.min().item(), grid.max().item()
    level = (grid - low) / (high - low) if high > low else grid * 0 + 0.5
    step = (level * _LEVELS).round().int()
    paths = []
    for shade in range(1, _LEVELS + 1):
        where = (step == shade).nonzero().tolist()
        if not where:
            continue
        cells = "".join(
            f"M{left + j * cell:g} {top + i * cell:g}h{cell:g}v{cell:g}h-{cell:g}z"
            for i, j in where
        )
        paths.append(f'<path class="g-cell" fill-opacity="{shade / _LEVELS:.2g}" d="{cells}"/>')
    return "".join(paths)
