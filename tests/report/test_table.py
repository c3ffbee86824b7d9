"""The rows, and the same rows in every format."""

import csv
from io import StringIO
from math import inf, nan
from pathlib import Path

import pytest
from made_up_study import build_study

from foveal.report import table
from foveal.report.numbers import scale_of
from foveal.report.series import paired_differences
from foveal.study.records import Run, load_study, save_run, write_json


@pytest.fixture(scope="module")
def study_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_study(tmp_path_factory.mktemp("study"))


def rows_by_name(folder: Path) -> dict[str, table.Row]:
    return {row["variant"]: row for row in table.verdict_rows(load_study(folder))}


def test_each_variant_is_followed_by_its_controls(study_folder: Path):
    names = [row["variant"] for row in table.verdict_rows(load_study(study_folder))]
    assert names[:4] == ["none", "cbam", "cbam-matched", "cbam-frozen"]
    assert len(names) == len(set(names)) == 10


def test_rows_copy_the_comparisons(study_folder: Path):
    study = load_study(study_folder)
    rows = rows_by_name(study_folder)
    by_pair = {(c.variant, c.baseline): c for c in study.comparisons}
    for name in ("cbam", "eca", "mhsa"):
        main, beside = by_pair[name, "none"], by_pair[name, f"{name}-frozen"]
        row = rows[name]
        assert (row["difference"], row["verdict"]) == (main.difference, main.verdict)
        assert (row["low"], row["high"]) == main.interval
        assert (row["frozen_difference"], row["frozen_verdict"]) == (
            beside.difference,
            beside.verdict,
        )
    assert rows["none"]["verdict"] is None
    assert rows["cbam-frozen"]["matched_verdict"] is None


def test_costs_stand_beside_the_bare_host(study_folder: Path):
    rows = rows_by_name(study_folder)
    assert rows["none"]["parameters_added"] == 0
    assert rows["cbam"]["parameters_added"] == 2048
    assert rows["none"]["flops_ratio"] == 1
    assert rows["cbam"]["flops_ratio"] > 1


def test_a_study_under_way_has_rows_without_verdicts(tmp_path: Path):
    rows = rows_by_name(build_study(tmp_path, finished=5, verdicts=False, costs=False))
    assert (rows["cbam"]["seeds"], rows["cbam"]["seeds_planned"]) == (5, 12)
    assert all(row["verdict"] is None and row["flops"] is None for row in rows.values())
    assert rows["cbam"]["parameters_added"] == 2048  # from the runs


def test_what_is_not_a_number_is_left_out(tmp_path: Path):
    folder = build_study(tmp_path, attentions=["cbam"], seeds=4)
    study = load_study(folder)
    good = study.runs_of("cbam")
    save_run(folder, Run(**{**vars(good[0]), "metric": nan}))
    first = vars(study.comparisons[0]) | {"smallest_effect": inf}
    write_json(folder / "verdicts.json", [first])
    row = rows_by_name(folder)["cbam"]
    assert row["diverged"] == 1
    assert row["mean"] == pytest.approx(sum(r.metric for r in good[1:]) / 3)
    assert (row["smallest_effect"], row["blind"]) == (None, True)
    assert len(paired_differences(load_study(folder), "cbam", "none")) == 3


def test_the_formats_hold_the_same_cells(study_folder: Path):
    study = load_study(study_folder)
    rows, scale = table.verdict_rows(study), scale_of(study)
    columns = table.verdict_columns(scale)
    body = table.cells(rows, columns, scale)
    lines = table.markdown(columns, body).splitlines()
    from_markdown = [[c.strip() for c in line.strip("|").split(" | ")] for line in lines]
    assert from_markdown[0] == [column.heading for column in columns]
    assert from_markdown[2:] == body
    latex = table.latex(columns, body)
    inside = latex.split("\\midrule\n")[1].split("\\bottomrule")[0]
    from_latex = [line.rstrip(" \\").split(" & ") for line in inside.splitlines()]
    assert from_latex == [[table.latex_text(cell) for cell in line] for line in body]
    read = list(csv.DictReader(StringIO(table.csv(rows))))
    assert [line["variant"] for line in read] == [line[0] for line in body]
    assert [line["verdict"] or "–" for line in read] == [line[8] for line in body]
    assert float(read[1]["difference"]) == pytest.approx(rows[1]["difference"], rel=1e-9)
    assert read[0]["difference"] == ""


def test_latex_is_escaped_and_has_booktabs_rules(tmp_path: Path):
    name = "a_b%c&d#e$f{g}"
    study = load_study(build_study(tmp_path, attentions=[name], seeds=3, controls=False))
    rows, scale = table.verdict_rows(study), scale_of(study)
    columns = table.verdict_columns(scale)
    latex = table.latex(columns, table.cells(rows, columns, scale))
    assert r"a\_b\%c\&d\#e\$f\{g\}" in latex
    assert name not in latex
    for rule in ("toprule", "midrule", "bottomrule", "begin{tabular}", "end{tabular}"):
        assert latex.count("\\" + rule) == 1
    assert latex.count(r"\\") == 1 + len(rows)
    assert "−" not in latex
    assert "±" not in latex


def test_markdown_keeps_a_bar_inside_its_cell():
    text = table.markdown([table.Column("a", lambda row, scale: "")], [["x|y\nz <b>"]])
    assert text.splitlines()[2] == r"| x\|y z \<b> |"
