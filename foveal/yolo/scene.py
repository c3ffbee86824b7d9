"""Scenes for a detector: objects of several classes that hide one another, among clutter.

A scene is planned first, from its seed, and then drawn, so that it can be drawn again without one
of its objects: what changes then are the pixels of that object, and its label can be checked.
"""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from foveal.yolo.crops import CUTS, crop_patch
from foveal.yolo.shapes import OUTLINES, drawn_patch

CLASSES = (*OUTLINES, *CUTS)
"""All the classes there are: drawn ones, then real ones."""

SEEN = 0.2
"""An object of which less than this share is seen has no label."""

SIDES = (0.14, 0.5)
"""The smallest and the largest object, as shares of the picture's side."""


@dataclass(frozen=True)
class Thing:
    """An object of a plan: what it is, and where it is drawn."""

    name: str
    side: int
    centre: tuple[int, int]
    angle: float
    colour: tuple[int, int, int]
    light: float


@dataclass(frozen=True)
class Stroke:
    """A line of clutter, with corners; behind all objects or in front of them."""

    points: tuple[tuple[int, int], ...]
    colour: tuple[int, int, int]
    width: int
    front: bool


@dataclass(frozen=True)
class Plan:
    """A scene before it is drawn."""

    size: int
    things: tuple[Thing, ...]
    strokes: tuple[Stroke, ...]
    ground: np.ndarray = field(repr=False)
    """The background, (size, size, 3)."""


@dataclass(frozen=True)
class Scene:
    """A drawn scene."""

    picture: Image.Image
    owner: np.ndarray
    """(size, size): the number of the thing that each pixel shows, -1 for none."""
    pixels: tuple[int, ...]
    """Of each thing, those that would be seen if nothing stood before it or cut it off."""


@dataclass(frozen=True)
class Label:
    """A box around what is seen of a thing: left, top, right, bottom; right and bottom outside."""

    thing: int
    name: str
    box: tuple[int, int, int, int]


def plan_scene(seed: int, number: int, size: int, classes: tuple[str, ...]) -> Plan:
    """Plan a scene; the same arguments give the same plan.

    Args:
        seed: of the dataset.
        number: of the scene in it.
        size: height and width in pixels.
        classes: names out of `CLASSES`.

    >>> plan_scene(0, 7, 96, ("disc", "star")).things == plan_scene(
    ...     0, 7, 96, ("disc", "star")
    ... ).things
    True
    """
    rng = np.random.default_rng((seed, number))
    coarse = rng.integers(40, 216, (5, 5, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
    grain = rng.integers(-10, 11, (size, size, 1))
    ground = np.clip(np.asarray(smooth).astype(int) + grain, 0, 255).astype(np.uint8)
    strokes = tuple(_stroke(rng, size) for _ in range(rng.integers(6, 13)))
    things = tuple(_thing(rng, size, classes) for _ in range(rng.integers(2, 7)))
    return Plan(size, things, strokes, ground)


def draw_scene(plan: Plan, without: int | None = None) -> Scene:
    """Draw a plan; `without` leaves one of its things out and changes nothing else."""
    picture = Image.fromarray(plan.ground)
    owner = np.full((plan.size, plan.size), -1, dtype=np.int16)
    pixels = []
    _draw_strokes(picture, plan, front=False)
    for number, thing in enumerate(plan.things):
        patch, mask = _patch(thing)
        hard = mask.point([0] * 128 + [255] * 128)  # a pixel is the thing's or is not
        pixels.append(int(np.count_nonzero(np.asarray(hard))))
        corner = (thing.centre[0] - patch.width // 2, thing.centre[1] - patch.height // 2)
        if number != without:
            picture.paste(patch, corner, hard)
            whole = Image.new("L", picture.size)
            whole.paste(hard, corner)
            owner[np.asarray(whole) > 0] = number
    owner[np.asarray(_draw_strokes(picture, plan, front=True)) > 0] = -1
    return Scene(picture, owner, tuple(pixels))


def labels_of(plan: Plan, scene: Scene) -> list[Label]:
    """The boxes of the things of which enough is seen, as tight as the pixels allow."""
    labels = []
    for number, thing in enumerate(plan.things):
        rows, columns = np.nonzero(scene.owner == number)
        if len(rows) < max(1, SEEN * scene.pixels[number]):
            continue
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        left, top, right, bottom = map(int, box)
        labels.append(Label(number, thing.name, (left, top, right, bottom)))
    return labels


def _thing(rng: np.random.Generator, size: int, classes: tuple[str, ...]) -> Thing:
    low, high = np.log(SIDES)
    name = classes[rng.integers(len(classes))]
    side = max(6, round(size * float(np.exp(rng.uniform(low, high)))))
    reach = min(0.35 * side, size / 2)  # a thing may stand out of the picture a little
    centre = rng.uniform(reach, size - reach, 2)
    turn = 180.0 if name in OUTLINES else 20.0
    return Thing(
        name=name,
        side=side,
        centre=(round(float(centre[0])), round(float(centre[1]))),
        angle=round(float(rng.uniform(-turn, turn)), 1),
        colour=_colour(rng),
        light=round(float(rng.uniform(0.7, 1.2)), 2),
    )


def _stroke(rng: np.random.Generator, size: int) -> Stroke:
    start = rng.uniform(0, size, 2)
    steps = rng.normal(0, size / 6, (rng.integers(1, 4), 2))
    corners = np.vstack([start, start + np.cumsum(steps, axis=0)])
    return Stroke(
        points=tuple((round(float(x)), round(float(y))) for x, y in corners),
        colour=_colour(rng),
        width=int(rng.integers(1, max(2, size // 40) + 1)),
        front=bool(rng.random() < 0.3),
    )


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue


def _patch(thing: Thing) -> tuple[Image.Image, Image.Image]:
    if thing.name in OUTLINES:
        return drawn_patch(thing.name, thing.side, thing.angle, thing.colour)
    return crop_patch(thing.name, thing.side, thing.angle, thing.light)


def _draw_strokes(picture: Image.Image, plan: Plan, front: bool) -> Image.Image:
    """Draw the strokes behind or in front; returns where they are."""
    where = Image.new("L", picture.size)
    for stroke in plan.strokes:
        if stroke.front == front:
            ImageDraw.Draw(picture).line(stroke.points, stroke.colour, stroke.width)
            ImageDraw.Draw(where).line(stroke.points, 255, stroke.width)
    return where
