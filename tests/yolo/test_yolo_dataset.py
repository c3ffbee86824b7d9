"""The made dataset: true labels, the same bytes, nothing overwritten."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveal.core.errors import FovealError, MissingExtraError
from foveal.yolo.crops import CUTS
from foveal.yolo.dataset import EASY_TO_GET, make_dataset, split_sizes
from foveal.yolo.scene import CLASSES, draw_scene, labels_of, plan_scene

SIZE = 96
FROM_SKLEARN = tuple(name for name, cut in CUTS.items() if cut.library == "sklearn")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("made") / "set", images=30, seed=3).data.parent


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def boxes_on_disk(folder: Path, split: str, number: int) -> list[tuple[int, ...]]:
    lines = (folder / f"labels/{split}/{number:06}.txt").read_text().splitlines()
    boxes = []
    for line in lines:
        kind, x, y, w, h = line.split()
        corners = (
            *(float(x) - float(w) / 2, float(y) - float(h) / 2),
            *(float(x) + float(w) / 2, float(y) + float(h) / 2),
        )
        boxes.append((int(kind), *(round(SIZE * corner) for corner in corners)))
    return boxes


def test_boxes_are_where_pixels_change_when_the_object_is_left_out(made: Path):
    """The picture on disk against the same scene drawn without one object."""
    number = compared = 0
    for split, count in split_sizes(30).items():
        for i in range(count):
            plan = plan_scene(3, number, SIZE, EASY_TO_GET)
            picture = np.asarray(Image.open(made / f"images/{split}/{i:06}.png"))
            on_disk = boxes_on_disk(made, split, i)
            labels = labels_of(plan, draw_scene(plan))
            assert [b[0] for b in on_disk] == [EASY_TO_GET.index(x.name) for x in labels]
            for label, (_, *box) in zip(labels, on_disk, strict=True):
                without = np.asarray(draw_scene(plan, without=label.thing).picture)
                rows, columns = np.nonzero((picture != without).any(2))
                seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                # where two neighbours have the same colour, the change is a pixel smaller
                assert np.abs(np.subtract(seen, box)).max() <= 1
                compared += 1
            number += 1
    assert compared > 60


def test_hidden_objects_have_no_label_and_others_have():
    hidden = shown = 0
    for number in range(60):
        plan = plan_scene(0, number, SIZE, EASY_TO_GET)
        scene = draw_scene(plan)
        labelled = {label.thing for label in labels_of(plan, scene)}
        for thing in range(len(plan.things)):
            share = np.count_nonzero(scene.owner == thing) / scene.pixels[thing]
            assert (thing in labelled) == (share >= 0.2)
            hidden += share < 0.2
            shown += 0.2 <= share < 0.8
    assert hidden > 3  # else the rule was not tried
    assert shown > 10


def test_classes_and_sizes_vary():
    sides = [
        max(label.box[2] - label.box[0], label.box[3] - label.box[1]) / SIZE
        for number in range(100)
        for plan in [plan_scene(0, number, SIZE, EASY_TO_GET)]
        for label in labels_of(plan, draw_scene(plan))
    ]
    assert min(sides) < 0.17 < 0.4 < max(sides)


def test_real_objects_are_the_sample_pictures():
    from sklearn.datasets import load_sample_image

    from foveal.yolo.crops import crop_patch

    patch, mask = crop_patch("flower", 100, 0, 1.0)
    inside = np.asarray(patch)[np.asarray(mask) > 128]
    source = load_sample_image("flower.jpg")[120:320, 200:410].reshape(-1, 3)
    # the flower is orange on dark green: red well above blue, in the patch as in the picture
    assert np.abs(inside.mean(0) - source.mean(0)).max() < 20
    assert (inside[:, 0] > inside[:, 2]).mean() > 0.95


def test_the_same_arguments_give_the_same_bytes(made: Path, tmp_path: Path):
    again = make_dataset(tmp_path / "again", images=30, seed=3).data.parent
    assert tree(again) == tree(made)
    other = make_dataset(tmp_path / "other", images=30, seed=4).data.parent
    assert tree(other)["images/train/000000.png"] != tree(made)["images/train/000000.png"]


def test_no_two_pictures_are_alike(made: Path):
    pictures = [content for name, content in tree(made).items() if name.endswith(".png")]
    assert len(set(pictures)) == len(pictures) == 30


def test_what_it_says_of_itself_is_on_disk(made: Path):
    record = json.loads((made / "foveal-dataset.json").read_text())
    lines = [n for path in made.glob("labels/*/*.txt") for n in path.read_text().splitlines()]
    assert sum(record["objects"].values()) == len(lines)
    for split, count in record["images"].items():
        assert len(list((made / "images" / split).iterdir())) == count


def test_ours_is_left_as_it_is(made: Path):
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    assert not make_dataset(made, images=30, seed=3).new
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before
    with pytest.raises(FovealError, match="made otherwise"):
        make_dataset(made, images=30, seed=5)


def test_what_is_not_ours_is_refused(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(FovealError, match="no dataset of Foveal's"):
            make_dataset(place, images=6)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interruption_leaves_nothing(tmp_path: Path):
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_dataset(tmp_path / "set", images=6, on_image=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"images": 5}, "images=5"),
        ({"size": 16}, "size=16"),
        ({"seed": -1}, "seed=-1"),
        ({"classes": ["dics"]}, "did you mean disc"),
        ({"classes": ["disc", "disc"]}, "different"),
        ({"classes": []}, "different"),
    ],
)
def test_wrong_arguments_are_told(wrong: dict, word: str, tmp_path: Path):
    with pytest.raises(FovealError, match=word):
        make_dataset(tmp_path / "set", **wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(find_spec("skimage") is not None, reason="scikit-image is installed")
def test_a_missing_library_is_named(tmp_path: Path):
    with pytest.raises(MissingExtraError, match=r"foveal\[yolo-crops\]"):
        make_dataset(tmp_path / "set", images=6, classes=["cat"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(find_spec("skimage") is None, reason="scikit-image is not installed")
def test_every_class_can_be_drawn(tmp_path: Path):
    made = make_dataset(tmp_path / "set", images=60, classes=CLASSES)
    assert min(made.objects.values()) > 0
