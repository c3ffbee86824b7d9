"""A docstring's text as HTML: mathematics as MathML, names of mechanisms as links."""

import re
from html import escape

from latex2mathml.converter import convert

from docs.gallery.neighbours import spans
from foveal.core.card import Card

_SECTIONS = ("Args:", "Raises:", "Departs:", "Placed:", "Shape:", "Returns:", "Example")
_PIECE = re.compile(r"\$\$(.+?)\$\$|\$([^$]+)\$|``?([^`]+)``?", re.DOTALL)


class FormulaError(Exception):
    """A formula that cannot be converted."""


def mathematics(latex: str, *, block: bool) -> str:
    """MathML of a formula.

    Raises:
        FormulaError: if a command in it is unknown.

    >>> "<mi>" in mathematics("y = x", block=False)
    True
    """
    source = " ".join(latex.split())
    try:
        markup = convert(source, display="block" if block else "inline")
    except Exception as error:
        raise FormulaError(f"cannot convert {source!r}: {type(error).__name__} {error}") from error
    left = re.search(r"\\[A-Za-z]+", markup)
    if left:
        raise FormulaError(f"cannot convert {left[0]} in {source!r}")
    return f'<div class="g-formula">{markup}</div>' if block else markup


def formulas(card: Card) -> list[str]:
    """The formulas that stand on lines of their own, as MathML."""
    found = re.findall(r"\$\$(.+?)\$\$", card.doc, re.DOTALL)
    return [mathematics(formula, block=True) for formula in found]


def paragraphs(card: Card) -> list[str]:
    """What the docstring tells between its summary and its sections, formulas left out."""
    texts = card.doc.split("\n\n")[1:]
    plain = [t for t in texts if not t.startswith(_SECTIONS) and not _only_formula(t)]
    linked: set[str] = {card.name}
    return [rich(re.sub(r"\$\$.+?\$\$", "", t, flags=re.DOTALL), linked) for t in plain]


def _only_formula(text: str) -> bool:
    return not re.sub(r"\$\$.+?\$\$", "", text, flags=re.DOTALL).strip()


def rich(text: str, linked: set[str] | None = None) -> str:
    """Running text as HTML.

    Args:
        linked: mechanisms that need no link, as they have one already; those linked here are added.
    """
    html, at = [], 0
    for found in _PIECE.finditer(text):
        html.append(_words(text[at : found.start()], linked))
        block, inline, code = found.groups()
        if code is not None:
            html.append(_code(code, linked))
        else:
            html.append(mathematics(block or inline, block=block is not None))
        at = found.end()
    html.append(_words(text[at:], linked))
    return " ".join("".join(html).split())


def _words(text: str, linked: set[str] | None) -> str:
    if linked is None:
        return escape(text, quote=False)
    html, at = [], 0
    for begin, end, name in spans(text):
        if name in linked:
            continue
        linked.add(name)
        html.append(escape(text[at:begin], quote=False))
        html.append(link(name, escape(text[begin:end], quote=False)))
        at = end
    html.append(escape(text[at:], quote=False))
    return "".join(html)


def _code(text: str, linked: set[str] | None) -> str:
    code = f"<code>{escape(text, quote=False)}</code>"
    if linked is None:
        return code
    whole = [name for begin, end, name in spans(text) if (begin, end) == (0, len(text))]
    if whole and whole[0] not in linked:
        linked.add(whole[0])
        return link(whole[0], code)
    return code


def link(name: str, shown: str) -> str:
    """A link from one mechanism's page to another's."""
    return f'<a href="{name}.html">{shown}</a>'
