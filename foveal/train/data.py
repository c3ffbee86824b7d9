"""Pictures with labels, in training and test sets that are the same for every run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from foveal.core.errors import FovealError, did_you_mean

if TYPE_CHECKING:
    from PIL.Image import Image

CACHE_BYTES = 1 << 30
SPLIT_SEED = 20240
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class InMemory(Dataset):
    """Pictures that are tensors already; a whole batch is one indexing."""

    def __init__(self, pictures: Tensor, labels: Tensor):
        self.pictures, self.labels = pictures, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        chosen = torch.as_tensor(indices)
        return self.pictures[chosen], self.labels[chosen]


class FromImages(Dataset):
    """Pictures read one by one, resized to a square, and kept where memory allows.

    Args:
        read: gives the picture at an index.
        labels: the class of each.
        size: height and width to resize to: the shorter side, then a cut from the middle.
        channels: 1 or 3.
    """

    def __init__(
        self, read: "Callable[[int], Image]", labels: Sequence[int], size: int, channels: int
    ):
        self.read, self.size, self.channels = read, size, channels
        self.labels = torch.as_tensor(labels, dtype=torch.long)
        keep = len(labels) * channels * size * size <= CACHE_BYTES
        self._kept: dict[int, Tensor] | None = {} if keep else None

    def __len__(self) -> int:
        return len(self.labels)

    def picture(self, index: int) -> Tensor:
        """One picture, (channels, size, size), uint8."""
        if self._kept is not None and index in self._kept:
            return self._kept[index]
        pixels = _square(self.read(index), self.size, self.channels)
        if self._kept is not None:
            self._kept[index] = pixels
        return pixels

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        pixels = torch.stack([self.picture(int(i)) for i in indices]).float() / 255
        if self.channels == 3:
            mean, deviation = torch.tensor((IMAGENET_MEAN, IMAGENET_DEVIATION))[..., None, None]
            pixels = (pixels - mean) / deviation
        return pixels, self.labels[torch.as_tensor(indices)]


@dataclass(frozen=True)
class ImageData:
    """What a study trains and tests on. Both sets take a list of indices by `__getitems__`."""

    train: Any
    test: Any
    classes: tuple[str, ...]
    channels: int
    size: int
    feedback: Any = None
    """Pictures that neither train nor test, for what is decided while a model trains; or None."""


def load_data(
    source: str,
    *,
    root: str | None = None,
    image_size: int | None = None,
    test_share: float = 0.25,
    train_limit: int | None = None,
    test_limit: int | None = None,
    feedback_share: float = 0.0,
) -> ImageData:
    """Load pictures for training and testing, always split in the same way.

    Args:
        source: `digits`, `folder`, or `torchvision:NAME` for a dataset that is on disk.
        root: the folder of the last two.
        image_size: height and width. Default: 16 for the digits, else 64.
        test_share: share that tests, where a folder has no train/ and test/ of its own.
        train_limit: train on at most so many pictures, drawn once.
        test_limit: test on at most so many pictures, drawn once.
        feedback_share: share of the training pictures that is kept out of training, drawn once.

    Raises:
        FovealError: if there is no such source, or nothing (or too little) to learn from.

    >>> data = load_data("digits", train_limit=100)
    >>> len(data.train), len(data.test), data.train.__getitems__([0, 1])[0].shape
    (100, 599, torch.Size([2, 1, 16, 16]))
    """
    if source == "digits":
        data = _digits(image_size)
    elif root is None:
        if source == "folder" or source.startswith("torchvision:"):
            raise FovealError(f"data source {source!r} needs root=, the folder it lies in")
        kinds = ("digits", "folder", "torchvision:NAME")
        raise FovealError(
            f"there is no data source {source!r}{did_you_mean(source, kinds)} "
            "There is: digits, folder, torchvision:NAME"
        )
    elif source == "folder":
        from foveal.train.folder import image_folder

        data = image_folder(root, image_size or 64, test_share)
    elif source.startswith("torchvision:"):
        from foveal.train.torchvision_data import torchvision_data

        data = torchvision_data(source.partition(":")[2], root, image_size or 64)
    else:
        return load_data(source)  # the error of an unknown source
    if len(data.train) == 0 or len(data.test) == 0:
        raise FovealError(
            f"data source {source!r} is empty: {len(data.train)} pictures to train on and "
            f"{len(data.test)} to test on"
        )
    train, feedback = _kept_out(_at_most(data.train, train_limit), feedback_share)
    return ImageData(
        train,
        _at_most(data.test, test_limit),
        data.classes,
        data.channels,
        data.size,
        feedback,
    )


class Part(Dataset):
    """Some of the pictures of another set."""

    def __init__(self, whole: Any, indices: Sequence[int]):
        self.whole, self.indices = whole, list(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        return self.whole.__getitems__([self.indices[int(i)] for i in indices])


def read_all(data: ImageData) -> None:
    """Read every picture once, so that an unreadable one is known before anything trains.

    Raises:
        FovealError: naming the first picture that cannot be read.
    """
    parts = [data.train, data.test] + ([data.feedback] if data.feedback is not None else [])
    for part in parts:
        for start in range(0, len(part), 256):
            part.__getitems__(range(start, min(start + 256, len(part))))


def _digits(image_size: int | None) -> ImageData:
    from foveal.train.digits import CANVAS, cluttered_digits

    if image_size not in (None, CANVAS):
        raise FovealError(
            f"image_size={image_size}: the cluttered digits are {CANVAS}×{CANVAS}; leave it out"
        )
    pictures, labels, testing = cluttered_digits()
    return ImageData(
        InMemory(pictures[~testing], labels[~testing]),
        InMemory(pictures[testing], labels[testing]),
        tuple("0123456789"),
        1,
        CANVAS,
    )


def _at_most(dataset: Any, limit: int | None) -> Any:
    if limit is None or limit >= len(dataset):
        return dataset
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(SPLIT_SEED))
    return Part(dataset, order[:limit].tolist())


def _kept_out(dataset: Any, share: float) -> tuple[Any, Any | None]:
    """A training set without a share of its pictures, and these."""
    if not share:
        return dataset, None
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(SPLIT_SEED + 1))
    kept = max(1, round(share * len(dataset)))
    if kept >= len(dataset):
        raise FovealError(f"feedback_share={share} of {len(dataset)} pictures leaves none to train")
    return Part(dataset, order[kept:].tolist()), Part(dataset, order[:kept].tolist())


def _square(image: "Image", size: int, channels: int) -> Tensor:
    """The middle of a picture, its shorter side made `size`."""
    image = image.convert("RGB" if channels == 3 else "L")
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    image = image.resize((width, height))
    left, top = (width - size) // 2, (height - size) // 2
    image = image.crop((left, top, left + size, top + size))
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.reshape(size, size, channels).permute(2, 0, 1).contiguous()
