"""Any classification dataset of torchvision that is on disk. Nothing is downloaded."""

import inspect
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveal.core.errors import FovealError, did_you_mean, require
from foveal.train.data import FromImages, ImageData

if TYPE_CHECKING:
    from PIL.Image import Image


def torchvision_data(name: str, root: str, size: int) -> ImageData:
    """Load a dataset by torchvision's name, such as CIFAR10.

    Raises:
        FovealError: if there is no such dataset, if it is not (or only partly) on disk, or if it
            is not one of pictures with one class each.
    """
    module = require("torchvision.datasets", "torchvision")
    known = [n for n in module.__all__ if inspect.isclass(getattr(module, n))]
    if name not in known:
        raise FovealError(f"torchvision has no dataset {name!r}{did_you_mean(name, known)}")
    cls = getattr(module, name)
    train, test = (_open(cls, name, root, testing) for testing in (False, True))
    labels = [_labels(part, name) for part in (train, test)]
    classes = getattr(train, "classes", None) or range(max(labels[0], default=0) + 1)
    channels = 1 if train[0][0].mode in ("L", "1") else 3
    training, testing = (
        FromImages(partial(_picture, part), answers, size, channels)
        for part, answers in zip((train, test), labels, strict=True)
    )
    return ImageData(training, testing, tuple(map(str, classes)), channels, size)


def _open(cls: type, name: str, root: str, testing: bool) -> Any:
    parameters = inspect.signature(cls).parameters
    options: dict[str, Any] = {"download": False} if "download" in parameters else {}
    if "train" in parameters:
        options["train"] = not testing
    elif "split" in parameters:
        options["split"] = "test" if testing else "train"
    else:
        raise FovealError(
            f"torchvision:{name} has no training and test split of its own; "
            "lay its pictures out as a folder (data source: folder)"
        )
    try:
        dataset = cls(root, **options)
        if len(dataset) == 0:
            raise FovealError(f"torchvision:{name} in {root} is empty")
        dataset[0]
        return dataset
    except FovealError:
        raise
    except Exception as error:  # each dataset fails in its own way
        there = Path(root).is_dir() and any(Path(root).iterdir())
        state = (
            f"is not whole in {root} (not there, or a download that was interrupted or damaged)"
            if there
            else f"is not on disk in {root}"
        )
        if "download" in parameters:
            options["download"] = True
            call = ", ".join(f"{key}={value!r}" for key, value in options.items())
            advice = (
                f'python -c "from torchvision.datasets import {name}; {name}({root!r}, {call})"'
            )
        else:
            advice = f"the instructions on torchvision's page of {name}; it is fetched by hand"
        said = (str(error).strip().splitlines() or [repr(error)])[0]
        raise FovealError(
            f"torchvision:{name} {state}; a study downloads nothing. Get it with: {advice} "
            f"(torchvision said: {said})"
        ) from error


def _labels(dataset: Any, name: str) -> list[int]:
    for attribute in ("targets", "labels", "_labels"):
        values = getattr(dataset, attribute, None)
        if values is not None and len(values) == len(dataset):
            break
    else:
        values = [dataset[i][1] for i in range(len(dataset))]
    try:
        return [int(value) for value in values]
    except (TypeError, ValueError) as error:
        raise FovealError(
            f"torchvision:{name} is no dataset of pictures with one class each "
            f"(its first answer is a {type(values[0]).__name__})"
        ) from error


def _picture(dataset: Any, index: int) -> "Image":
    return dataset[index][0]
