"""Where a mix weighs branches, and what these are called."""

from dataclasses import dataclass

from foveal.mix.mixture import Mix, checked_notation
from foveal.mix.tree import Call
from foveal.mix.weigh import Weighting
from foveal.mix.words import WORDS


@dataclass(frozen=True)
class Node:
    """A part of a mix that weighs its branches."""

    notation: str
    branches: tuple[str, ...]
    """Each by its notation; scales, which one mechanism serves, by number."""
    weighting: Weighting


def nodes(mix: Mix) -> list[Node]:
    """Every part of a mix that weighs its branches, from the outermost on.

    >>> mix = create_attention("sum(se | eca > coord, weights=learned)", channels=16)
    >>> [(node.notation, node.branches) for node in nodes(mix)]
    [('sum(se | eca > coord, weights=learned)', ('se', 'eca > coord'))]
    """
    return [
        Node(notation, branch_names(notation, weighting.branches), weighting)
        for notation, weighting in mix.weightings()
    ]


def branch_names(notation: str, branches: int) -> tuple[str, ...]:
    """What the branches of a joiner, or the levels of a hierarchy, are called.

    >>> branch_names("hierarchy(eca, coord)", 2)
    ('eca', 'coord')
    """
    checked = checked_notation(notation)
    tree, parts = checked.tree, []
    if isinstance(tree, Call) and tree.word in WORDS:
        parts = WORDS[tree.word].operands(tree, checked)
    if len(parts) != branches:
        return tuple(f"scale {i + 1}" for i in range(branches))
    return tuple(map(str, parts))
