"""The study that would decide between the mechanisms that were kept."""

import json
import re

from foveal.choose.choice import Choice, Entry
from foveal.core.errors import FovealError

MOST = 3


def study_entries(choice: Choice, most: int = MOST) -> list[Entry]:
    """The best kept, each mechanism once."""
    best: dict[str, Entry] = {}
    for entry in choice.kept:
        best.setdefault(entry.mechanism, entry)
    return list(best.values())[:most]


def study_text(choice: Choice, most: int = MOST) -> str:
    """A study's configuration in YAML that compares the best that were kept.

    The pictures are the digits that Foveal makes itself, until the file names others.

    Raises:
        FovealError: if nothing was kept, or if a study could not load the host.
    """
    if choice.spec is None:
        raise FovealError(
            f"a study needs a model that it can load by name, and {choice.host} has none; choose "
            "for a model such as timm:resnet18 or py:package.module:factory"
        )
    entries = study_entries(choice, most)
    if not entries:
        raise FovealError("nothing was kept, so there is nothing to study; allow more")
    name = re.sub(r"[^A-Za-z0-9.+-]+", "-", f"choose-{choice.spec.split(':', 1)[1]}")[:64]
    lines = [
        f"# The best that `foveal choose` kept for {choice.spec}; which of them helps, this says.",
        f"name: {name}",
        "data:",
        "  source: digits  # for your own pictures: source: folder, and root: FOLDER",
        *([f"  image_size: {choice.image_size}"] if choice.image_size else []),
        "model:",
        f"  name: {choice.spec}",
        "variants:",
    ]
    for entry in entries:
        preset = re.fullmatch(r"[A-Za-z_][\w.]*", entry.where or "") is not None
        where = entry.where if preset else json.dumps(entry.where)
        lines += [f"  - attention: {entry.mechanism}", f"    where: {where}"]
        if entry.position != "after":
            lines.append(f"    position: {entry.position}")
    return "\n".join([*lines, "seeds: 10", ""])
