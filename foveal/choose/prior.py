"""What is believed before anything is measured: rules with their sources, each worth few points.

They say what to measure first. What is then measured weighs more: see `foveal.choose.rank`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from foveal.choose.places import Place
from foveal.core.card import Card

TASKS = ("classification", "detection", "segmentation", "video", "multi-modal")

THUMB = "the field's rule of thumb"
PAPER = "its paper"
CARD = "its card"

ACCURATE = ("self_attention", "window", "block")
IN_TIMM = (
    *("se", "ese", "eca", "ge", "gc", "cbam", "coord", "ela", "strip_pool", "sk", "split_attn"),
    *("lambda", "botnet", "halo", "nonlocal", "bat"),
)
"""What `timm.layers.create_attn` builds, by our names."""
MANY_TOKENS = 1000
MUCH_MEMORY = 8e9
_TASK_WORDS = {"detection": r"detect|YOLO", "segmentation": r"segment", "video": r"video"}
_PLACE_WORDS = {
    "every_block": r"\b(?:each|every)\b[^.;]*\b(?:blocks?|bottlenecks?|branch|layers?)\b"
    r"|\bin (?:the|all) (?:residual )?(?:blocks|bottlenecks)\b",
    "stage_ends": r"between the stages|ends each stage|after stages|end of each group"
    r"|in the stages",
    "backbone.last2": r"(?:last (?:two|three)|third and fourth) stages",
    "last_stage": r"\bonce\b|ends? (?:of )?the(?: dilated)? backbone|coarsest",
}
_INSTEAD = r"^(?:in place of|as the (?:block|attention)\b)"


@dataclass(frozen=True)
class Setting:
    """What is asked for."""

    task: str
    runtime: str
    memory: int | None


@dataclass(frozen=True)
class Rule:
    """A belief: whom it favours or disfavours, by how much, and whose it is."""

    name: str
    points: int
    source: str
    says: str
    speaks: Callable[[Card, Place, Setting], bool]


def rules_for(card: Card, place: Place, setting: Setting) -> tuple[Rule, ...]:
    """The rules that speak for or against a mechanism at a place."""
    return tuple(rule for rule in RULES if rule.speaks(card, place, setting))


def papers_place(card: Card, place: Place) -> bool:
    """Whether the paper puts the mechanism where this place is, as far as its card tells."""
    text = card.placed or ""
    words = _PLACE_WORDS.get(place.where)
    if words is None or re.search(_INSTEAD, text):
        return False
    for_tokens = re.search(r"transformer|perceptron|ViT", text) is not None
    if for_tokens and place.layout not in ("tokens", "channels_last"):
        return False
    return re.search(words, text) is not None


def grows_with_square(card: Card) -> bool:
    """Whether the stated cost has a term in the square of the number of positions."""
    return re.search(r"N²|\(H·W\)²|\bT·N\)", card.multiply_adds or "") is not None


RULES = (
    Rule(
        "memory above 8 GB",
        1,
        THUMB,
        "with more than 8 GB of memory, the accurate families (pairs of positions, whole blocks)",
        lambda card, place, setting: (
            (setting.memory or 0) > MUCH_MEMORY and card.family in ACCURATE
        ),
    ),
    Rule(
        "more than 1,000 tokens",
        1,
        THUMB,
        "with more than 1,000 tokens, the linear families",
        lambda card, place, setting: place.most_positions > MANY_TOKENS and card.family == "linear",
    ),
    Rule(
        "mobile",
        2,
        THUMB,
        "on mobile, ECA and SimAM",
        lambda card, place, setting: setting.runtime == "mobile" and card.name in ("eca", "simam"),
    ),
    Rule(
        "video",
        2,
        THUMB,
        "for video, external and axial attention",
        lambda card, place, setting: (
            setting.task == "video"
            and card.name in ("external", "external_mh", "axial", "axial_deeplab")
        ),
    ),
    Rule(
        "segmentation",
        2,
        THUMB,
        "for segmentation, DANet and criss-cross attention",
        lambda card, place, setting: (
            setting.task == "segmentation" and card.name in ("danet", "crisscross")
        ),
    ),
    Rule(
        "paper's place",
        1,
        PAPER,
        "its paper puts it here",
        lambda card, place, setting: papers_place(card, place),
    ),
    Rule(
        "paper's task",
        1,
        PAPER,
        "its paper puts it in a network for this task",
        lambda card, place, setting: bool(
            setting.task in _TASK_WORDS
            and re.search(_TASK_WORDS[setting.task], card.placed or "", re.IGNORECASE)
        ),
    ),
    Rule(
        "in common use",
        1,
        "timm",
        "timm builds it by name for its networks as well",
        lambda card, place, setting: card.name in IN_TIMM,
    ),
    Rule(
        "made to replace",
        -1,
        PAPER,
        "its paper puts it in the place of a layer, and here it comes on top of one",
        lambda card, place, setting: re.search(_INSTEAD, card.placed or "") is not None,
    ),
    Rule(
        "part of another",
        -1,
        CARD,
        "it is a part of a mechanism that is here as a whole",
        lambda card, place, setting: (
            re.search(r"^as (?:the \w+ half|one) of", card.placed or "") is not None
        ),
    ),
    Rule(
        "square of the tokens",
        -1,
        CARD,
        "its cost grows with the square of the positions, and here are more than 1,000",
        lambda card, place, setting: place.most_positions > MANY_TOKENS and grows_with_square(card),
    ),
)
