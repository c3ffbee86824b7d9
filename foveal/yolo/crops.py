"""Real objects, cut out of the sample pictures that come with scikit-learn and scikit-image."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from PIL import Image, ImageDraw

from foveal.core.errors import require

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Cut:
    """Where in a sample picture an object is.

    The object is the union of the ellipses (left, top, right, bottom) and of the polygon, in pixels
    of the picture as it is shipped.
    """

    library: str
    picture: str
    ellipses: tuple[Box, ...] = ()
    polygon: tuple[tuple[int, int], ...] = ()


CUTS: dict[str, Cut] = {
    "flower": Cut("sklearn", "flower.jpg", ellipses=((169, 86, 445, 358),)),
    "pagoda": Cut(
        "sklearn",
        "china.jpg",
        polygon=(
            *((205, 29), (217, 62), (250, 96), (320, 124), (294, 140), (294, 158), (330, 174)),
            *((318, 190), (324, 232), (352, 252), (342, 276), (344, 312), (290, 334), (76, 336)),
            *((80, 284), (63, 264), (96, 236), (99, 188), (84, 176), (119, 158), (119, 140)),
            *((95, 128), (98, 112), (150, 88), (193, 62)),
        ),
    ),
    "cat": Cut("skimage", "chelsea", ellipses=((40, 2, 372, 288),)),
    "cup": Cut("skimage", "coffee", ellipses=((80, 66, 480, 386), (172, 17, 412, 208))),
    "astronaut": Cut("skimage", "astronaut", ellipses=((154, 15, 302, 190),)),
}
"""The classes that are cut out of pictures."""


def crop_patch(name: str, side: int, angle: float, light: float) -> tuple[Image.Image, Image.Image]:
    """A real object as an RGB picture and its mask, its longer side about `side` pixels.

    Args:
        name: a key of `CUTS`.
        side: pixels of the longer side before it is turned.
        angle: degrees, against the clock.
        light: a factor on its brightness.

    Raises:
        MissingExtraError: if the library that ships the picture is not installed.
    """
    picture, mask = _cut(name)
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    turned = [
        part.resize(size, Image.Resampling.BOX).rotate(
            angle, Image.Resampling.BILINEAR, expand=True
        )
        for part in (picture, mask)
    ]
    lit = [min(255, int(value * light)) for value in range(256)]
    return turned[0].point(lit * 3), turned[1]


@lru_cache(maxsize=8)
def _cut(name: str) -> tuple[Image.Image, Image.Image]:
    cut = CUTS[name]
    picture = Image.fromarray(_sample(cut)).convert("RGB")
    mask = Image.new("L", picture.size)
    pen = ImageDraw.Draw(mask)
    for ellipse in cut.ellipses:
        pen.ellipse(ellipse, fill=255)
    if cut.polygon:
        pen.polygon(cut.polygon, fill=255)
    box = mask.getbbox()
    # reduced once: the objects drawn are smaller, and 600 scenes need not each begin at full size
    small = (192, 192)
    picture, mask = picture.crop(box), mask.crop(box)
    for part in (picture, mask):
        part.thumbnail(small, Image.Resampling.BOX)
    return picture, mask


def _sample(cut: Cut) -> Any:
    if cut.library == "sklearn":
        return require("sklearn.datasets", "yolo").load_sample_image(cut.picture)
    return getattr(require("skimage.data", "yolo-crops"), cut.picture)()
