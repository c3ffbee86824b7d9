"""Which layer of one model is which layer of another: an alignment of the two sequences."""

from collections.abc import Mapping, Sequence

from foveal.yolo.models import Layer

GAP = -0.05
"""A layer left out; small, so that any likeness is preferred to it."""

ROUNDS = 3
"""The sources of layers are compared by the alignment of the round before."""


def align(old: Sequence[Layer], new: Sequence[Layer]) -> dict[int, int]:
    """Layers of `old` with the layers of `new` that they correspond to, in order.

    Two layers are alike as far as they have the same kind and the same tensors, by name and shape,
    and read from layers that are alike. The alignment with the largest sum of likenesses, in which
    no two pairs cross, is found by dynamic programming (Needleman and Wunsch 1970).

    Args:
        old: layers of one model.
        new: layers of the other.

    >>> conv = {"conv.weight": (8, 8, 3, 3)}
    >>> old = [Layer(0, "Conv", conv, (-1,)), Layer(1, "Conv", conv, (0,))]
    >>> new = [old[0], Layer(1, "CBAM", {}, (0,)), Layer(2, "Conv", conv, (1,))]
    >>> align(old, new)
    {0: 0, 1: 2}
    """
    found: dict[int, int] = {}
    for _ in range(ROUNDS):
        found, before = _best(old, new, found), found
        if found == before:
            break
    return found


def likeness(old: Layer, new: Layer, aligned: Mapping[int, int]) -> float:
    """How alike two layers are, 0 for not at all.

    >>> a = Layer(0, "Conv", {"conv.weight": (8, 8, 3, 3)}, (-1,))
    >>> likeness(a, a, {}), likeness(a, Layer(0, "Upsample", {}, (-1,)), {})
    (4.5, 0.0)
    """
    most = max(len(old.tensors), len(new.tensors))
    same = sum(new.tensors.get(name) == shape for name, shape in old.tensors.items())
    named = sum(name in new.tensors for name in old.tensors)
    share, names = (same / most, named / most) if most else (1.0, 1.0)
    if old.kind != new.kind and (not most or share < 0.5):
        return 0.0
    ours = [aligned.get(source, source if source < 0 else None) for source in old.sources]
    theirs = set(new.sources)
    read = sum(source in theirs for source in ours) / max(len(theirs), len(ours), 1)
    return (old.kind == new.kind) + 2.0 * share + 0.5 * names + read


def _best(old: Sequence[Layer], new: Sequence[Layer], aligned: Mapping[int, int]) -> dict[int, int]:
    rows, columns = len(old) + 1, len(new) + 1
    total = [[GAP * (i + j) for j in range(columns)] for i in range(rows)]
    step = [["" for _ in range(columns)] for _ in range(rows)]
    for i in range(1, rows):
        for j in range(1, columns):
            like = likeness(old[i - 1], new[j - 1], aligned)
            choices = [(total[i - 1][j] + GAP, "old"), (total[i][j - 1] + GAP, "new")]
            if like > 0:
                choices.append((total[i - 1][j - 1] + like, "both"))
            total[i][j], step[i][j] = max(choices, key=lambda choice: choice[0])
    pairs: dict[int, int] = {}
    i, j = len(old), len(new)
    while i and j:
        taken = step[i][j]
        i, j = i - (taken != "new"), j - (taken != "old")
        if taken == "both":
            pairs[old[i].index] = new[j].index
    return dict(sorted(pairs.items()))
