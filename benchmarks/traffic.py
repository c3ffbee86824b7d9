"""Count what every mechanism moves and holds, and write benchmarks/traffic.csv.

    python benchmarks/traffic.py [NAME ...]

With names only their lines are counted again. The counts are the same on every run and machine.
"""

import csv
import sys
from pathlib import Path

from rich.progress import track

from foveal import attention_info, list_attentions
from foveal.core.files import write_whole
from foveal.measure.mechanism import mechanism_traffic

TABLE = Path(__file__).with_name("traffic.csv")
SHAPES = (2, 64, 28, 28), (2, 256, 28, 28), (8, 256, 56, 56), (16, 512, 14, 14)
KEYS = ("mechanism", "shape", "format", "mode")
FIGURES = ("kernels", "moved", "peak", "saved")


def lines(name: str):
    """The lines of one mechanism."""
    for shape in SHAPES:
        for order in "contiguous", "channels_last":
            if order == "channels_last" and attention_info(name).layout != "map":
                continue
            for mode in "infer", "train":
                found = mechanism_traffic(name, shape, mode, channels_last=order != "contiguous")
                key = (name, "x".join(map(str, shape)), order, mode)
                yield dict(zip(KEYS, key, strict=True)) | found.as_dict()


def main(names: list[str]) -> None:
    one_image = ("map", "tokens")
    chosen = names or [
        n for n in list_attentions(drop_in=True) if attention_info(n).layout in one_image
    ]
    rows = list(csv.DictReader(TABLE.open())) if names and TABLE.exists() else []
    rows = [row for row in rows if row["mechanism"] not in chosen]
    for name in track(chosen, "Counting"):
        rows += lines(name)
        rows.sort(
            key=lambda row: str(row["mechanism"])
        )  # stable: a mechanism's lines stay in order
        write(rows)  # what is counted is kept when the run is stopped


def write(rows: list[dict]) -> None:
    text = [",".join(KEYS + FIGURES)]
    text += [",".join(str(row[key]) for key in KEYS + FIGURES) for row in rows]
    write_whole(TABLE, "\n".join(text) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
