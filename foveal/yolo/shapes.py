"""Drawn objects: patches with a mask, of any size, angle and colour."""

from math import cos, pi, sin

from PIL import Image, ImageDraw

FINER = 4
"""Outlines are drawn this much larger and made small again, so that their pixels are true."""

Points = list[tuple[float, float]]


def outline(name: str) -> Points:
    """The corners of a drawn class around (0, 0), at most 1 away from it.

    >>> [(round(x, 3), round(y, 3)) for x, y in outline("triangle")]
    [(0.0, -1.0), (0.866, 0.5), (-0.866, 0.5)]
    """
    return OUTLINES[name]


def drawn_patch(
    name: str, side: int, angle: float, colour: tuple[int, int, int]
) -> tuple[Image.Image, Image.Image]:
    """A drawn object as an RGB picture and its mask, both `side` × `side`.

    Args:
        name: a key of `OUTLINES`.
        side: pixels; a turned object keeps within it.
        angle: degrees, against the clock.
        colour: of the object; its rim is darker.
    """
    centre, turn = side * FINER / 2, -angle * pi / 180
    mask = Image.new("L", (side * FINER, side * FINER))
    rim = mask.copy()
    for picture, reach in ((mask, centre), (rim, 0.8 * centre)):
        points = [
            (
                centre + reach * (x * cos(turn) - y * sin(turn)),
                centre + reach * (x * sin(turn) + y * cos(turn)),
            )
            for x, y in OUTLINES[name]
        ]
        ImageDraw.Draw(picture).polygon(points, fill=255)
    mask, rim = (picture.resize((side, side), Image.Resampling.BOX) for picture in (mask, rim))
    dark = Image.new("RGB", (side, side), tuple(int(0.55 * c) for c in colour))
    dark.paste(colour, mask=rim)
    return dark, mask


def _ring(corners: int, radii: tuple[float, ...] = (1.0,), start: float = -pi / 2) -> Points:
    return [
        (
            radii[i % len(radii)] * cos(start + 2 * pi * i / corners),
            radii[i % len(radii)] * sin(start + 2 * pi * i / corners),
        )
        for i in range(corners)
    ]


_ARM = 0.3
OUTLINES: dict[str, Points] = {
    "disc": _ring(48),
    "triangle": _ring(3),
    "square": _ring(4, start=pi / 4),
    "star": _ring(10, radii=(1.0, 0.42)),
    "cross": [
        *((_ARM, -0.95), (_ARM, -_ARM), (0.95, -_ARM), (0.95, _ARM), (_ARM, _ARM), (_ARM, 0.95)),
        *((-_ARM, 0.95), (-_ARM, _ARM), (-0.95, _ARM), (-0.95, -_ARM), (-_ARM, -_ARM)),
        (-_ARM, -0.95),
    ],
}
"""The corners of each drawn class."""
