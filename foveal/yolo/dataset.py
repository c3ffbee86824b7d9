"""A small detection dataset that needs no download: drawn objects and real ones, in YOLO's format.

OUT/data.yaml                     what a trainer is given
OUT/images/train/000000.png       pictures; val and test beside train
OUT/labels/train/000000.txt       a line per object: class, centre and size as shares of the picture
OUT/foveal-dataset.json           how it was made, from which it can be made again
"""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foveal.core.errors import FovealError, did_you_mean, require

MARK = "foveal-dataset.json"

EASY_TO_GET = ("disc", "triangle", "square", "star", "flower", "pagoda")
"""The classes that need no library beyond those of the extra `yolo`."""

SPLITS = {"train": 4, "val": 1, "test": 1}
"""Parts of the pictures."""


@dataclass(frozen=True)
class MadeDataset:
    """A dataset on disk."""

    data: Path
    """Its data.yaml."""
    images: dict[str, int]
    """Pictures in each split."""
    objects: dict[str, int]
    """Labelled objects of each class, over all splits."""
    new: bool
    """False if it stood there already."""

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self) | {"data": str(self.data)}


def make_dataset(
    out: str | Path,
    *,
    images: int = 600,
    size: int = 96,
    seed: int = 0,
    classes: Sequence[str] = EASY_TO_GET,
    on_image: Callable[[], None] | None = None,
) -> MadeDataset:
    """Make a detection dataset: objects that hide one another, among clutter, labelled truly.

    Each picture holds two to six objects of 14 % to 50 % of its side, drawn (`disc`, `triangle`,
    `square`, `star`, `cross`) or cut out of a sample picture of scikit-learn (`flower`, `pagoda`)
    or scikit-image (`cat`, `cup`, `astronaut`). A label's box is tight around the pixels that are
    seen; an object of which less than a fifth is seen has none. Two thirds of the pictures are for
    training, a sixth each for validation and test. The same arguments give the same bytes.

    Args:
        out: the folder to make; it appears whole or not at all.
        images: pictures over all splits, at least 6.
        size: height and width in pixels, at least 32.
        seed: of everything drawn.
        classes: which, in the order of their numbers; see `foveal.yolo.scene.CLASSES`.
        on_image: called after each picture.

    Returns:
        What was made, or what stood there if it was made by the same arguments.

    Raises:
        FovealError: if an argument is out of its range, or the folder holds something else.
        MissingExtraError: if a library that ships one of the pictures is not installed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = make_dataset(f"{folder}/shapes", images=6, size=64, classes=["disc", "star"])
    ...     made.images, sum(made.objects.values()) > 6, made.data.name
    ({'train': 4, 'val': 1, 'test': 1}, True, 'data.yaml')
    """
    for library in ("numpy", "PIL.Image"):
        require(library, "yolo")
    settings = {"images": images, "size": size, "seed": seed, "classes": list(classes)}
    _check(images, size, seed, classes)
    target = Path(out).absolute()
    there = _standing(target, settings)
    if there is not None:
        return there
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    except OSError as error:
        raise FovealError(f"cannot write beside {target}: {error.strerror}") from error
    try:
        folder.chmod(0o755)  # a temporary folder is its owner's alone
        _fill(folder, settings, on_image)
        os.rename(folder, target)
    except OSError as error:
        reason = error.strerror or error
        raise FovealError(f"could not write {target}: {reason}; nothing was made") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _read(target, new=True)


def split_sizes(images: int) -> dict[str, int]:
    """How many pictures each split has.

    >>> split_sizes(600)
    {'train': 400, 'val': 100, 'test': 100}
    """
    share = images // sum(SPLITS.values())
    return {"train": images - 2 * share, "val": share, "test": share}


def _check(images: int, size: int, seed: int, classes: Sequence[str]) -> None:
    from foveal.yolo.scene import CLASSES

    if images < sum(SPLITS.values()):
        raise FovealError(f"images={images} must be at least 6, so that every split has one")
    if size < 32:
        raise FovealError(f"size={size} must be at least 32; smaller objects are not told apart")
    if seed < 0:
        raise FovealError(f"seed={seed} must not be negative")
    if isinstance(classes, str) or not classes or len(set(classes)) < len(classes):
        raise FovealError(f"classes={classes!r} must be a list of different names")
    for name in classes:
        if name not in CLASSES:
            near = did_you_mean(name, CLASSES)
            raise FovealError(f"no class {name!r}{near} There is: {', '.join(CLASSES)}")


def _standing(target: Path, settings: dict[str, Any]) -> MadeDataset | None:
    """The dataset that is there already, if it is the one asked for; None if the place is free."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return None
    if not (target / MARK).is_file():
        raise FovealError(f"{target} exists and is no dataset of Foveal's; choose another folder")
    made = json.loads((target / MARK).read_text(encoding="utf-8"))["settings"]
    if made != settings:
        other = ", ".join(f"{k} {made.get(k)}" for k in settings if made.get(k) != settings[k])
        raise FovealError(
            f"{target} holds a dataset made otherwise ({other}); choose another folder, or delete "
            "this one"
        )
    return _read(target, new=False)


def _read(folder: Path, new: bool) -> MadeDataset:
    made = json.loads((folder / MARK).read_text(encoding="utf-8"))
    return MadeDataset(folder / "data.yaml", made["images"], made["objects"], new)


def _fill(folder: Path, settings: dict[str, Any], on_image: Callable[[], None] | None) -> None:
    from foveal.yolo.scene import draw_scene, labels_of, plan_scene

    classes, size = tuple(settings["classes"]), settings["size"]
    splits = split_sizes(settings["images"])
    objects = Counter(dict.fromkeys(classes, 0))
    number = 0
    for split, count in splits.items():
        pictures, labels = folder / "images" / split, folder / "labels" / split
        pictures.mkdir(parents=True)
        labels.mkdir(parents=True)
        for i in range(count):
            plan = plan_scene(settings["seed"], number, size, classes)
            scene = draw_scene(plan)
            found = labels_of(plan, scene)
            lines = [label_line(classes.index(x.name), x.box, size) for x in found]
            scene.picture.save(pictures / f"{i:06}.png", optimize=False)
            (labels / f"{i:06}.txt").write_text("".join(lines), encoding="utf-8")
            objects.update(x.name for x in found)
            number += 1
            if on_image:
                on_image()
    # without `path`, the folders are looked for beside data.yaml, wherever the dataset is moved
    names = "".join(f"  {i}: {name}\n" for i, name in enumerate(classes))
    splits_text = "".join(f"{split}: images/{split}\n" for split in splits)
    (folder / "data.yaml").write_text(f"{splits_text}names:\n{names}", encoding="utf-8")
    record = {"settings": settings, "images": splits, "objects": dict(objects)}
    (folder / MARK).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def label_line(number: int, box: tuple[int, int, int, int], size: int) -> str:
    """A label in YOLO's format.

    >>> label_line(2, (0, 10, 20, 50), 100)
    '2 0.100000 0.300000 0.200000 0.400000\\n'
    """
    left, top, right, bottom = box
    shares = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
    return " ".join([str(number), *(f"{x / size:.6f}" for x in shares)]) + "\n"
