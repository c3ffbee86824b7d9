"""What docs/published.md says of published networks is what Foveal builds.

Parameters of every network (those deeper than 50 layers among the slow tests) and FLOPs of a few;
`python benchmarks/published.py --check` does all.
"""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("torchvision")
pytest.importorskip("timm")
ROOT = Path(__file__).parents[1]


def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("published", ROOT / "benchmarks/published.py")
    assert spec
    assert spec.loader
    found = importlib.util.module_from_spec(spec)
    sys.modules["published"] = found
    spec.loader.exec_module(found)
    return found


published = module()
NETWORKS = {network.name: network for network in published.read()}
DEEP = re.compile("101|152")
BY_DEPTH = [
    pytest.param(name, marks=pytest.mark.slow if DEEP.search(name) else ()) for name in NETWORKS
]
COUNTED = ("ECA-Net18", "SE-ResNet50", "MobileNetV2 + CA", "SimAM-R18")


def said() -> dict[str, list[str]]:
    lines = (ROOT / "docs/published.md").read_text().splitlines()
    table = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"
    ]
    return {cells[0].replace("\\", ""): cells for cells in table[2:]}


def test_page_has_every_network() -> None:
    assert list(said()) == list(NETWORKS)


@pytest.mark.parametrize("name", BY_DEPTH)
def test_parameters(name: str) -> None:
    row = published.row(NETWORKS[name], flops=False)
    assert said()[name][1:3] == [NETWORKS[name].parameters, row.parameters]


@pytest.mark.parametrize("name", COUNTED)
def test_flops(name: str) -> None:
    assert published.row(NETWORKS[name]).markdown().split(" | ")[5] == said()[name][5]


@pytest.mark.parametrize("name", NETWORKS)
def test_what_differs_is_explained(name: str) -> None:
    _, params, our_params, _, flops, our_flops, _, verdict = said()[name]
    differs = [
        word
        for word, same in (("parameters", params == our_params), ("FLOPs", flops == our_flops))
        if not same
    ]
    assert verdict == (f"explained: {', '.join(differs)}" if differs else "matched")
    assert bool(NETWORKS[name].why) == bool(differs)


def test_figures_keep_the_printed_digits() -> None:
    assert published.in_words_of("24.37M", 25_557_110, "binary") == "24.37M"
    assert published.in_words_of("300M", 304_999_999, "decimal") == "300M"
    assert published.difference("3.86G", "3.85G") == "−0.01G"
