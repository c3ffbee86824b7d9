"""A folder of pictures, one sub-folder per class."""

import random
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from foveal.core.errors import FovealError, require
from foveal.train.data import SPLIT_SEED, FromImages, ImageData

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm"))


def image_folder(root: str, size: int, test_share: float) -> ImageData:
    """Read ROOT/train/CLASS and ROOT/test/CLASS (or val), or ROOT/CLASS and split it.

    The split takes the same share of every class and depends on the file names alone.

    Raises:
        FovealError: if the folder is missing or has fewer than two classes, or if a class is empty
            or has too few pictures to be in both sets.
    """
    top = Path(root)
    if not top.is_dir():
        raise FovealError(f"there is no image folder {root}")
    second = next((top / name for name in ("test", "val") if (top / name).is_dir()), None)
    if (top / "train").is_dir() and second is not None:
        train, test = _classes(top / "train"), _classes(second)
        if set(train) != set(test):
            odd = ", ".join(sorted(set(train) ^ set(test)))
            raise FovealError(
                f"{top / 'train'} and {second} must hold the same classes; in one only: {odd}"
            )
    else:
        train, test = _split(_classes(top), test_share)
    names = sorted(train)
    training, testing = (_dataset(part, names, size) for part in (train, test))
    return ImageData(training, testing, tuple(names), 3, size)


def _classes(top: Path) -> dict[str, list[Path]]:
    folders = sorted(p for p in top.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(folders) < 2:
        found = f"only the class {folders[0].name}" if folders else "no sub-folders"
        raise FovealError(
            f"{top} must hold one sub-folder of pictures per class, at least two; it has {found}"
        )
    classes = {
        folder.name: sorted(
            p
            for p in folder.rglob("*")
            if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
        )
        for folder in folders
    }
    for name, files in classes.items():
        if not files:
            raise FovealError(
                f"class {name} in {top} has no pictures (of {', '.join(sorted(SUFFIXES))})"
            )
    return classes


def _split(
    classes: dict[str, list[Path]], test_share: float
) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    train, test = {}, {}
    for name, files in classes.items():
        if len(files) < 2:
            raise FovealError(
                f"class {name} has one picture ({files[0]}); at least two are needed, "
                "one to train on and one to test on"
            )
        shuffled = random.Random(f"{SPLIT_SEED} {name}").sample(files, len(files))
        tested = min(max(round(len(files) * test_share), 1), len(files) - 1)
        test[name], train[name] = sorted(shuffled[:tested]), sorted(shuffled[tested:])
    return train, test


def _dataset(part: dict[str, list[Path]], names: list[str], size: int) -> FromImages:
    files = [path for name in names for path in part[name]]
    labels = [label for label, name in enumerate(names) for _ in part[name]]
    return FromImages(partial(_open, files), labels, size, channels=3)


def _open(files: list[Path], index: int) -> "Image":
    module = require("PIL.Image", "torchvision")
    try:
        with module.open(files[index]) as image:
            image.load()
            return image.copy()
    except Exception as error:  # PIL raises many types, and SyntaxError among them
        raise FovealError(
            f"{files[index]} cannot be read as a picture ({error}); mend it or take it away"
        ) from error
