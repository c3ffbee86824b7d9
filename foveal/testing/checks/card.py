"""Laws about what a mechanism says of itself."""

import inspect
import re
from collections.abc import Iterator

from foveal.core.card import Card
from foveal.testing.law import BrokenLawError, NotCheckedError, law
from foveal.testing.subject import CHANNELS, Subject

SYNONYMS = {
    "num_heads": ("heads", "n_heads", "nhead", "n_head"),
    "kernel_size": ("kernel", "k", "ks", "ksize", "k_size"),
    "reduction": ("r", "ratio", "rd_ratio", "reduction_ratio"),
    "window_size": ("window", "ws", "win_size"),
    "groups": ("g", "group", "num_groups", "n_groups", "group_num"),
    "num_tokens": ("n_tokens", "tokens", "num_nodes"),
}
TOLERANCE = 0.02
TOLERANCE_OF_SUMS = 0.05
"""For a mix: each part may be as far off, and takes another kernel for another order in memory."""


@law("card", catches="missing paper, mathematics, shapes, costs; options unexplained or renamed")
def card_complete(subject: Subject) -> None:
    faults = list(_faults(_card(subject)))
    if faults:
        raise BrokenLawError("; ".join(faults))


@law("cost", catches="a formula for parameters or multiply-adds that lies")
def cost_formulas_true(subject: Subject) -> None:
    from foveal.measure import count_multiply_adds

    card = _card(subject)
    faults = []
    sizes = (CHANNELS, subject.sizes[0]), (subject.small, subject.sizes[-1])
    for channels, (height, width) in sizes:
        module = subject.module(channels)
        mechanism = subject.mechanism(module)
        example = subject.example(
            module, subject.input((height, width), batch=1, channels=channels)
        )
        stated = card.cost(mechanism, channels, height, width, **subject.sizes_of(example))
        where = f"at C={channels}, {height}×{width}"
        parameters = sum(p.numel() for p in module.parameters())
        if stated.get("parameters") != parameters:
            faults.append(
                f"the card says {stated.get('parameters')} parameters {where}, there are "
                f"{parameters}"
            )
        counted = count_multiply_adds(mechanism, example)
        claimed = stated.get("multiply_adds")
        if claimed is None or not _is_true(card, claimed, counted):
            faults.append(f"the card says {claimed} multiply-adds {where}, {counted} are counted")
    if faults:
        raise BrokenLawError("; ".join(faults))


def _is_true(card: Card, claimed: int, counted: int) -> bool:
    """Whether a formula gives what is counted, or no less where it is stated as a bound."""
    tolerance = TOLERANCE_OF_SUMS if card.family == "mix" else TOLERANCE
    bound = (card.multiply_adds or "").startswith("at most ")
    return counted - tolerance * counted <= claimed and (
        bound or claimed <= counted + tolerance * counted
    )


def _card(subject: Subject) -> Card:
    if subject.card is None:
        raise NotCheckedError("not registered, so it has no card")
    return subject.card


def _faults(card: Card) -> Iterator[str]:
    if not re.search(r"\b(19|20)\d\d\b", card.paper):
        yield f"paper={card.paper!r} names no year"
    if card.arxiv is not None and not re.fullmatch(r"\d{4}\.\d{4,5}", card.arxiv):
        yield f"arxiv={card.arxiv!r} is no identifier such as 1910.03151"
    if not card.summary.endswith("."):
        yield "the first line of the docstring is no sentence"
    if not card.formula:
        yield "the docstring has no formula between $$ and $$"
    for what, word in {
        "shape": "Shape",
        "parameters": "Parameters",
        "multiply_adds": "Multiply-adds",
    }.items():
        if not getattr(card, what):
            yield f"the docstring states no `{word}:` that ends in a full stop"
    if next(iter(inspect.signature(card.cls).parameters), None) != "channels":
        yield "the first argument of the constructor is not called channels"
    for option, default in card.options.items():
        if default is inspect.Parameter.empty:
            yield f"option {option} has no default"
        if not re.search(rf"^\s*(\w+, )*{option}(, \w+)*: ", card.doc, re.MULTILINE):
            yield f"option {option} is not explained under `Args:`"
        for word, others in SYNONYMS.items():
            if option in others:
                yield f"option {option} is called {word} in every other mechanism"
