"""The study that would decide between the mechanisms that were kept."""

import json
import re

from foveal.choose.choice import Choice, Entry
from foveal.core.errors import FovealError

MOST = 3


def study_entries(choice: Choice, most: int = MOST) -> list[Entry]:
    """The best kept of which a study would see something, each mechanism once."""
    best: dict[str, Entry] = {}
    for entry in choice.kept:
        if entry.heard:
            best.setdefault(entry.mechanism, entry)
    return list(best.values())[:most]


def study_text(choice: Choice, most: int = MOST) -> str:
    """A study's configuration in YAML that compares the best that were kept.

    The pictures are in the folder `pictures`, until the file names another; for the built-in model
    they are the built-in study's.

    Raises:
        FovealError: if nothing was kept, or if a study could not load the host or feed it.
    """
    if choice.spec is None:
        raise FovealError(
            f"a study needs a model that it can load by name, and {choice.host} has none; choose "
            "for a model such as timm:resnet18 or py:package.module:factory"
        )
    if choice.image_size is None:
        raise FovealError(
            f"a study trains on square pictures, and {choice.host} was given {choice.input}"
        )
    entries = study_entries(choice, most)
    if not entries:
        raise FovealError("nothing was kept that a study could see; allow more")
    name = re.sub(r"[^A-Za-z0-9.+-]+", "-", f"choose-{choice.spec.split(':', 1)[1]}")[:64]
    lines = [
        f"# The best that `foveal choose` kept for {choice.spec}; which of them helps, this says.",
        f"name: {name}",
        "data:",
        *_data(choice),
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


def _data(choice: Choice) -> list[str]:
    if (choice.spec or "").startswith("builtin:"):
        return ["  source: digits"]
    size = f"  image_size: {choice.image_size}"
    return ["  source: folder", "  root: pictures  # yours: pictures/CLASS/*.jpg", size]
