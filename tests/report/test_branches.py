"""The weights of mixes in the report."""

import csv
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import pytest
from made_up_study import build_study
from mixed_study import LEARNED, NOTATION, PART, build_mixed
from test_page import read

from foveal.report import write_report
from foveal.report.branches import MOST_CLASSES, telling_classes, unweighed, weighed
from foveal.study.records import load_study, save_run

HEADING = "How mixes weighed their branches"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_mixed(tmp_path_factory.mktemp("mixed"))


@pytest.fixture(scope="module")
def written(folder: Path) -> list[Path]:
    return write_report(folder)


def test_parts_are_means_and_deviations_over_seeds(folder: Path):
    study = load_study(folder)
    first, second, third = weighed(study)
    assert [(p.variant, p.place, p.node, p.seeds) for p in (first, second, third)] == [
        ("eca", "layer1.1", PART, 4),
        ("eca", "layer2.1", PART, 4),
        ("mhsa", "layer1.1", LEARNED, 4),
    ]
    ends = [run.weights[0].epochs[-1][0] for run in study.runs_of("eca")]
    assert first.epochs[-1][0] == (pytest.approx(fmean(ends)), pytest.approx(stdev(ends)))
    assert [name for name, _ in first.classes] == [f"class {i} & <co>" for i in range(3)]
    assert first.classes[2][1][0] == (pytest.approx(0.62), 0)
    assert third.classes == []
    assert (first.whole, third.whole) == (False, True)


def test_the_page_shows_the_weights_of_each_mix(written: list[Path]):
    page = read(written)
    assert HEADING in page.text
    section = page.text[page.text.index(HEADING) : page.text.index("What this study could not")]
    for words in (
        NOTATION,
        PART,
        LEARNED,
        "layer2.1",
        "The same for every image",
        "<b> 0.45 ± 0.00.",
    ):
        assert words in section
    assert "cbam" not in section
    heat = [table for table in page.tables if table[0] == ["class", "se", "sa_spatial"]]
    assert len(heat) == 2  # one for each place; none where all classes are the same
    assert heat[0][1] == ["class 0 & <co>", "0.60 ± 0.00", "0.40 ± 0.00"]
    assert [line[0] for line in heat[0]][-1] == "all"
    source = written[0].read_text(encoding="utf-8")
    plots = [f'aria-label="Weights of the branches of {PART} at {p}' for p in ("layer1", "layer2")]
    assert all(plot in source for plot in plots)
    assert "<b>" not in source
    assert max(page.ids.values()) == 1
    assert set(page.references) <= set(page.ids)


def test_the_larger_weight_has_the_darker_cell(written: list[Path]):
    source = written[0].read_text(encoding="utf-8")
    dark = source.index("background: rgba(0, 114, 178, 0.42)")
    assert source[dark:].split(">", 1)[1].startswith("0.62 ± 0.00")


def test_the_tables_have_them_too(written: list[Path], folder: Path):
    tables = {path.name: path.read_text(encoding="utf-8") for path in written}
    assert list(tables) == ["index.html", "table.md", "table.tex", "table.csv", "weights.csv"]
    line = next(x for x in tables["table.md"].splitlines() if "layer1.1" in x and "sa" in x)
    assert r"sum(se \| sa_spatial, weights=dynamic)" in line
    assert "0.60 ± 0.00 (class 0 & " in line
    assert r"layer2.1 & sum(se | sa\_spatial, weights=dynamic) & se &" in tables["table.tex"]
    rows = list(csv.DictReader(tables["weights.csv"].splitlines()))
    assert len(rows) == 2 * (6 + 3) * 2 + 6 * 2
    of_class = [r for r in rows if r["class"] == "class 2 & <co>" and r["place"] == "layer1.1"]
    assert [(r["branch"], float(r["mean"]), r["epoch"], r["seeds"]) for r in of_class] == [
        ("se", pytest.approx(0.62), "6", "4"),
        ("sa_spatial", pytest.approx(0.38), "6", "4"),
    ]


def test_without_mixes_nothing_is_shown(tmp_path: Path):
    paths = write_report(build_study(tmp_path, seeds=3, epochs=2))
    assert HEADING not in read(paths).text
    assert len(paths) == 4


def test_a_study_under_way_shows_what_there_is(tmp_path: Path):
    folder = build_mixed(tmp_path, finished=1)
    assert [part.seeds for part in weighed(load_study(folder))] == [1, 1, 1]
    assert "of 1 seed." in read(write_report(folder)).text


def test_of_many_classes_those_that_differ_most_are_shown(tmp_path: Path):
    folder = build_mixed(tmp_path, classes=30)
    (part, *_) = weighed(load_study(folder))
    shown = telling_classes(part)
    assert len(shown) == MOST_CLASSES
    assert [name for name, _ in shown][-1] == "class 29 & <co>"
    assert "class 0 & <co>" not in [name for name, _ in shown]  # nearest to the mean of all
    assert "Of 30 classes, the 20 that differ most" in read(write_report(folder)).text


def test_mixes_that_weigh_nothing_are_named(folder: Path, tmp_path: Path):
    assert unweighed(load_study(folder)) == []
    build_mixed(tmp_path)
    for run in load_study(tmp_path).runs_of("mhsa"):
        save_run(tmp_path, replace(run, weights=[]))
    assert unweighed(load_study(tmp_path)) == ["mhsa"]
    assert "mhsa weighs no branches." in read(write_report(tmp_path)).text
