import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from foveal import FovealError
from foveal.train.data import load_data, read_all


def picture(path: Path, shade: int = 128, size: tuple[int, int] = (20, 12)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, shade, shade)).save(path)


@pytest.fixture
def folder(tmp_path):
    for name in ("cat", "dog"):
        for i in range(8):
            picture(tmp_path / name / f"{i}.png", shade=10 * i)
    return tmp_path


def labels_of(dataset) -> list[int]:
    return dataset.__getitems__(range(len(dataset)))[1].tolist()


def test_folder_is_split_by_class_and_always_alike(folder):
    data = load_data("folder", root=str(folder), image_size=8)
    assert data.classes == ("cat", "dog")
    assert labels_of(data.train) == [0] * 6 + [1] * 6
    assert labels_of(data.test) == [0] * 2 + [1] * 2
    again = load_data("folder", root=str(folder), image_size=8)
    pictures = data.train.__getitems__(range(12))[0]
    assert pictures.shape == (12, 3, 8, 8)
    assert torch.equal(pictures, again.train.__getitems__(range(12))[0])


def test_folder_with_its_own_split_keeps_it(tmp_path):
    for part, count in (("train", 3), ("val", 1)):
        for name in ("a", "b"):
            for i in range(count):
                picture(tmp_path / part / name / f"{i}.jpg")
    data = load_data("folder", root=str(tmp_path))
    assert (len(data.train), len(data.test)) == (6, 2)


def test_limits_draw_the_same_pictures_each_time():
    first, second = (load_data("digits", train_limit=50, test_limit=20) for _ in range(2))
    assert (len(first.train), len(first.test)) == (50, 20)
    assert labels_of(first.train) == labels_of(second.train)
    assert len(set(labels_of(first.train))) > 5


def refuses(words: str, source: str = "folder", **options) -> None:
    with pytest.raises(FovealError, match=re.escape(words)):
        read_all(load_data(source, **options))


def test_missing_folder(tmp_path):
    refuses("there is no image folder", root=str(tmp_path / "nowhere"))


def test_folder_without_classes(tmp_path):
    refuses("at least two; it has no sub-folders", root=str(tmp_path))
    picture(tmp_path / "only" / "0.png")
    refuses("it has only the class only", root=str(tmp_path))


def test_empty_class(folder):
    (folder / "emu").mkdir()
    refuses("class emu in", root=str(folder))


def test_class_with_one_picture(folder):
    picture(folder / "emu" / "lonely.png")
    refuses("class emu has one picture", root=str(folder))


def test_unreadable_picture_is_named(folder):
    (folder / "cat" / "3.png").write_bytes(b"not a picture")
    refuses(str(folder / "cat" / "3.png"), root=str(folder))


def test_truncated_picture_is_named(folder):
    whole = (folder / "dog" / "5.png").read_bytes()
    (folder / "dog" / "5.png").write_bytes(whole[: len(whole) // 2])
    refuses(str(folder / "dog" / "5.png"), root=str(folder))


def test_classes_of_the_two_parts_must_agree(tmp_path):
    for path in ("train/a", "train/b", "test/a", "test/c"):
        picture(tmp_path / path / "0.png")
    refuses("in one only: b, c", root=str(tmp_path))


def test_torchvision_dataset_not_on_disk_says_how_to_get_it(tmp_path):
    with pytest.raises(FovealError, match="is not on disk in") as error:
        load_data("torchvision:CIFAR10", root=str(tmp_path))
    assert "CIFAR10(" in str(error.value)
    assert "download=True" in str(error.value)


def test_interrupted_download_is_told_from_a_missing_one(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"half of it")
    refuses("is not whole in", "torchvision:CIFAR10", root=str(tmp_path))
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{part}-ubyte").write_bytes(b"\x00\x00\x08")
    refuses("is not whole in", "torchvision:MNIST", root=str(tmp_path))


def test_torchvision_dataset_on_disk_is_read(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 6), ("t10k", 4)):
        head = (2051).to_bytes(4, "big") + count.to_bytes(4, "big") + (28).to_bytes(4, "big") * 2
        pixels = bytes(range(196)) * 4 * count
        (raw / f"{part}-images-idx3-ubyte").write_bytes(head + pixels)
        answers = (
            (2049).to_bytes(4, "big")
            + count.to_bytes(4, "big")
            + bytes(i % 3 for i in range(count))
        )
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(answers)
    data = load_data("torchvision:MNIST", root=str(tmp_path), image_size=28)
    assert (len(data.train), len(data.test), data.channels) == (6, 4, 1)
    assert labels_of(data.train) == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("torchvision:CIFAR11", "did you mean CIFAR10"),
        ("digit", "did you mean digits?"),
        ("torchvision:VOCDetection", "has no training and test split"),
    ],
)
def test_unknown_source(source, words, tmp_path):
    refuses(words, source, root=str(tmp_path))


def test_source_without_root():
    refuses("needs root=", "folder")
    refuses("leave it out", "digits", image_size=32)
