"""What a study of detection adds: a larger host, a second metric, tables by class and size."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from made_up_study import build_study, compare

from foveal.report import write_report
from foveal.report.details import detail_tables
from foveal.report.facts import seed_facts
from foveal.report.numbers import Scale
from foveal.report.table import verdict_rows
from foveal.study.records import Run, Study, Variant, load_study, save_run, write_json


@pytest.fixture
def study(tmp_path: Path) -> Study:
    folder = build_study(tmp_path / "s", attentions=["cbam"], seeds=3, epochs=2)
    plan = json.loads((folder / "plan.json").read_text())
    plan["variants"].append(asdict(Variant("larger", "larger")))
    plan["config"]["metric"] = "mAP50-95"
    write_json(folder / "plan.json", plan)
    for run in load_study(folder).runs:
        by_class = {"disc": run.metric - 0.1, "star": None}
        details = {"metrics": {"mAP50": run.metric + 0.1}, "tables": {"by class": by_class}}
        save_run(folder, replace(run, details=details | {"notes": {"by class": "A note."}}))
        if run.variant == "none":
            bigger = replace(run, variant="larger", metric=run.metric + 0.02, host_hash="other")
            save_run(folder, replace(bigger, details=details))
    there = load_study(folder)
    metrics = {v.name: [run.metric for run in there.runs_of(v.name)] for v in there.variants}
    cbam = next(v for v in there.variants if v.name == "cbam")
    found = [*there.comparisons, compare(cbam, "larger", metrics, "hurts")]
    write_json(folder / "verdicts.json", [asdict(one) for one in found])
    also = [compare(cbam, "none", metrics, "helps")]
    write_json(folder / "verdicts-also.json", {"mAP50": [asdict(one) for one in also]})
    return load_study(folder)


def test_the_larger_host_stands_beside_every_variant(study: Study):
    row = next(row for row in verdict_rows(study) if row["variant"] == "cbam")
    assert row["larger_verdict"] == "hurts"
    assert row["larger_difference"] == pytest.approx(row["difference"] - 0.02, abs=1e-9)


def test_a_host_of_its_own_is_no_broken_pair(study: Study):
    assert all(seed["paired"] for seed in seed_facts(study))
    broken = replace(study, runs=[*study.runs, _with_host(study.runs[0], "another")])
    assert not all(seed["paired"] for seed in seed_facts(broken))


def _with_host(run: Run, host: str) -> Run:
    return replace(run, host_hash=host)


def test_tables_hold_means_over_seeds(study: Study):
    second, by_class = detail_tables(study, Scale("mAP50-95"))
    assert second.title == "mAP50, judged too"
    assert next(line for line in second.body if line[0] == "cbam")[-1] == "helps"
    assert by_class.headings == ["variant", "disc", "star"]
    cells = {line[0]: line[1:] for line in by_class.body}
    mean = sum(run.metric - 0.1 for run in study.runs_of("cbam")) / 3
    assert cells["cbam"][0].startswith(f"{100 * mean:.1f} ± ")
    assert cells["cbam"][1] == "–"  # no object of that class in the test
    assert by_class.note.startswith("A note.")


def test_the_page_shows_them(study: Study):
    page = write_report(study.folder)[0].read_text()
    for words in ("against the larger", "the next larger scale", "mAP50, judged too", "by class"):
        assert words in page
    plain = build_study(study.folder.parent / "plain", attentions=["cbam"], seeds=3, epochs=2)
    assert "larger" not in write_report(plain)[0].read_text().split("</style>")[1]
