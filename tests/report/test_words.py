"""The sentences say what the verdicts say, and nothing else."""

from math import inf
from pathlib import Path

import pytest
from made_up_study import build_study

from foveal.report.numbers import Scale, scale_of
from foveal.report.table import Row, verdict_rows
from foveal.report.words import answers, headline, notices, sentence, unseen
from foveal.study.records import Run, load_study, save_run, write_json


@pytest.fixture(scope="module")
def study_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_study(tmp_path_factory.mktemp("study"))


def row(**changes: object) -> Row:
    plain: Row = {
        "verdict": "helps",
        "seeds": 12,
        "seeds_planned": 12,
        "difference": 0.013,
        "low": 0.004,
        "high": 0.021,
        "smallest_effect": 0.008,
        "blind": False,
        "matched_verdict": None,
        "frozen_verdict": None,
    }
    for role in ("matched", "frozen"):
        plain |= {f"{role}_difference": 0.009, f"{role}_low": 0.001, f"{role}_high": 0.017}
    return plain | changes


def test_helps():
    assert sentence(row(), Scale()) == "helps, +1.3 points (95 % interval +0.4 to +2.1)."


def test_the_controls_are_spoken_of():
    text = sentence(row(matched_verdict="helps", frozen_verdict="not distinguishable"), Scale())
    assert "better than a plain block of the same size (+0.9, +0.1 to +1.7)" in text
    assert "not distinguishable from the same insertion with frozen random gates" in text
    assert "That the gates have to be learned is not shown." in text


def test_a_gain_that_size_alone_may_give():
    text = sentence(row(matched_verdict="not distinguishable"), Scale())
    assert "may come from the added size" in text


def test_not_distinguishable_says_what_may_have_escaped():
    text = sentence(row(verdict="not distinguishable", low=-0.002), Scale())
    assert text.startswith("is not distinguishable from no attention, +1.3 points")
    assert "below 0.8 points could have escaped" in text
    assert "helps" not in text


def test_an_interval_without_zero_beside_no_verdict_is_explained():
    assert "corrected test" in sentence(row(verdict="not distinguishable"), Scale())


def test_a_blind_design_says_so():
    blind = row(verdict="not distinguishable", blind=True, smallest_effect=None)
    assert "no difference, however large" in sentence(blind, Scale())


def test_no_verdict_is_claimed_that_the_study_does_not_hold(tmp_path: Path):
    study = load_study(build_study(tmp_path, verdicts=False))
    rows = verdict_rows(study)
    said = [answer["text"] for answer in answers(study, rows, scale_of(study))]
    assert said == ["has no verdict yet: 12 of 12 seeds are finished."] * 3
    assert headline(rows) == "There is no verdict yet."


def test_the_headline_counts(study_folder: Path):
    rows = verdict_rows(load_study(study_folder))
    assert headline(rows) == (
        "Of 3 attention variants, 1 helps, 1 hurts, 1 is not distinguishable from no attention."
    )
    assert headline(rows[:1]) == "This study holds no attention variant."


def test_broken_pairing_is_noticed(tmp_path: Path):
    folder = build_study(tmp_path, attentions=["cbam"], seeds=3)
    study = load_study(folder)
    assert list(notices(study, verdict_rows(study))) == []
    save_run(folder, Run(**{**vars(study.runs_of("cbam")[1]), "host_hash": "other"}))
    study = load_study(folder)
    (notice,) = notices(study, verdict_rows(study))
    assert "at seed 1;" in notice


def test_power_of_a_blind_study(tmp_path: Path):
    folder = build_study(tmp_path, attentions=["cbam"], seeds=3)
    study = load_study(folder)
    blind = [vars(c) | {"smallest_effect": inf} for c in study.comparisons]
    write_json(folder / "verdicts.json", blind)
    study = load_study(folder)
    planned, text, _ = unseen(study, verdict_rows(study), scale_of(study))
    assert planned.startswith("As planned: ")
    assert text in list(notices(study, verdict_rows(study)))  # not only at the page's end
    assert "needs more seeds" in text


@pytest.mark.parametrize(("low", "decimals"), [(0.004, 1), (0.0004, 2), (0.00004, 3)])
def test_an_end_beside_zero_is_not_printed_as_zero(low: float, decimals: int, tmp_path: Path):
    folder = build_study(tmp_path, attentions=["cbam"], seeds=3, controls=False)
    (only,) = load_study(folder).comparisons
    write_json(folder / "verdicts.json", [vars(only) | {"interval": [low, 0.02]}])
    assert scale_of(load_study(folder)).decimals == decimals
