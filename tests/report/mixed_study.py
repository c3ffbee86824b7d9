"""A made-up study in which `eca` and `mhsa` stand for mixes."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random

from made_up_study import build_study

from foveal.study.records import BranchWeights, load_study, save_run, write_json

PART = "sum(se | sa_spatial, weights=dynamic)"
NOTATION = f"{PART} > coord"
LEARNED = "mean(se | <b>, weights=learned)"  # no name has such signs; a page must bear them


def build_mixed(
    folder: Path, classes: int = 3, seeds: int = 4, finished: int | None = None, epochs: int = 6
) -> Path:
    """`cbam` is a single mechanism, `eca` a mix at two places, `mhsa` one alike for all images."""
    build_study(folder, seeds=seeds, epochs=epochs, finished=finished)
    plan = json.loads((folder / "plan.json").read_text())
    for variant in plan["variants"]:
        notations = {"eca": NOTATION, "mhsa": LEARNED}
        variant["attention"] = notations.get(variant["attention"], variant["attention"])
    plan["classes"] = [f"class {i} & <co>" for i in range(classes)]
    write_json(folder / "plan.json", plan)
    random = Random(3)
    for run in load_study(folder).runs:
        if run.variant == "eca":
            weights = [
                BranchWeights(
                    place=place,
                    node=PART,
                    branches=["se", "sa_spatial"],
                    epochs=[
                        _pair(0.5 + lean * epoch + random.gauss(0, 0.01)) for epoch in range(epochs)
                    ],
                    classes=[_pair(0.5 + 5 * lean + 0.01 * i) for i in range(classes)],
                )
                for place, lean in (("layer1.1", 0.02), ("layer2.1", -0.03))
            ]
        elif run.variant == "mhsa":
            shares = [_pair(0.5 + 0.01 * epoch) for epoch in range(epochs)]
            weights = [BranchWeights("layer1.1", LEARNED, ["se", "<b>"], shares, None)]
        else:
            continue
        save_run(folder, replace(run, weights=weights))
    return folder


def _pair(share: float) -> list[float]:
    return [round(share, 4), round(1 - share, 4)]
