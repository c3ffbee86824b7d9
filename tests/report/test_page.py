"""The page: whole, self-contained, escaped, the same every time."""

import re
import sys
from collections import Counter
from html.parser import HTMLParser
from math import nan
from pathlib import Path

import pytest
from made_up_study import build_study

from foveal.core.errors import FovealError, MissingExtraError
from foveal.report import write_report
from foveal.report.table import verdict_rows
from foveal.study.records import Run, load_study, save_run, write_json

VOID = {"meta", "link", "br", "wbr", "img", "hr", "input"}


class Page(HTMLParser):
    """Reads a page: balanced tags, ids, links, table cells, text."""

    def __init__(self, source: str):
        super().__init__()
        self.open: list[str] = []
        self.ids: Counter[str] = Counter()
        self.links: list[tuple[str, str]] = []
        self.references: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        for key, value in attrs:
            if key == "id":
                self.ids[value or ""] += 1
            if key in ("src", "href", "xlink:href", "srcset", "data", "action"):
                self.links.append((tag, value or ""))
            self.references += re.findall(r"url\(#?([^)]+)\)", value or "")
            assert not key.startswith("on"), f"a handler in {tag}"
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str):
        if "style" not in self.open:
            self.words.append(data)
        if self.open and ({"td", "th"} & set(self.open)) and "table" in self.open:
            self.tables[-1][-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def read(paths: list[Path]) -> Page:
    return Page(paths[0].read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def study_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def written(study_folder: Path) -> list[Path]:
    return write_report(study_folder)


@pytest.fixture(scope="module")
def page(written: list[Path]) -> Page:
    return read(written)


def test_four_files_in_the_study(written: list[Path], study_folder: Path):
    names = ["index.html", "table.md", "table.tex", "table.csv"]
    assert written == [study_folder / "report" / name for name in names]
    assert sorted(path.name for path in (study_folder / "report").iterdir()) == sorted(names)


def test_the_answer_comes_first(page: Page):
    sentences = [
        "Of 3 attention variants, 1 helps, 1 hurts, 1 is not distinguishable",
        "cbam at stage_ends helps, +1.4 points",
        "eca at stage_ends is not distinguishable from no attention",
        "mhsa at stage_ends hurts, −1.2 points",
    ]
    at = [page.text.index(sentence) for sentence in sentences]
    assert at == sorted(at)
    assert at[-1] < page.text.index("Verdicts")


def test_everything_is_there(page: Page):
    for heading in (
        "Verdicts",
        "Seed by seed",
        "What it costs",
        "How they learned",
        "What this study could not have seen",
        "What was run",
    ):
        assert heading in page.text
    for fact in (
        "timm:resnet18",
        "2.15.0",
        "Example GPU 80GB",
        "adamw",
        "On the front: none, cbam",
    ):
        assert fact in page.text
    assert "00000000303" in page.text  # the hash of the first seed's host: 12345 in hexadecimal


def test_the_page_shows_the_rows(page: Page, study_folder: Path):
    rows = verdict_rows(load_study(study_folder))
    shown = page.tables[0][1:]
    assert len(shown) == len(rows)
    words = {"helps": "▲ helps", "hurts": "▼ hurts", "not distinguishable": "● not distinguishable"}
    assert [line[7] for line in shown] == [words.get(r["verdict"], "–") for r in rows]


def test_nothing_is_fetched(page: Page, written: list[Path]):
    outside = [(tag, link) for tag, link in page.links if ":" in link or link.startswith("//")]
    for tag, link in outside:
        assert (tag, link) == ("link", "data:,") or (
            tag == "a" and link.startswith("https://arxiv.org/abs/")
        )
    source = written[0].read_text(encoding="utf-8")
    assert "@import" not in source
    assert "<script" not in source
    assert not re.search(r"url\((?!#)", source)


def test_ids_are_unique_and_references_lead_somewhere(page: Page):
    assert [name for name, times in page.ids.items() if times > 1] == []
    inside = [link[1:] for _, link in page.links if link.startswith("#")]
    assert inside, "the plots refer to their own parts"
    assert {*inside, *page.references} <= set(page.ids)


def test_same_study_same_bytes(written: list[Path], study_folder: Path):
    before = [path.read_bytes() for path in written]
    assert [path.read_bytes() for path in write_report(study_folder)] == before


def test_names_are_escaped(tmp_path: Path):
    evil = "<img src=x onerror=alert(1)>"
    folder = build_study(
        tmp_path, attentions=["safe"], seeds=3, epochs=2, controls=False, name=f"A & {evil}"
    )
    plan = (folder / "plan.json").read_text()
    for path in [folder / "plan.json", folder / "verdicts.json", folder / "costs.json"]:
        path.write_text(path.read_text().replace('"safe"', '"<b>&\\"x"'))
    assert plan != (folder / "plan.json").read_text()
    paths = write_report(folder)
    source = paths[0].read_text(encoding="utf-8")
    assert "<img" not in source
    assert "<b>" not in source
    assert '<b>&"x' in read(paths).text
    assert f"A & {evil}" in read(paths).text


def test_under_way(tmp_path: Path):
    folder = build_study(tmp_path, finished=2, seeds=4, epochs=2, verdicts=False, costs=False)
    text = read(write_report(folder)).text
    assert "under way, 22 of 40 runs finished" in text
    assert "There is no verdict yet" in text
    assert "cbam at stage_ends has no verdict yet: 2 of 4 seeds" in text
    assert "costs have not been measured yet" in text
    assert not re.search(r"[▲▼●]", text)


def test_nothing_run_yet(tmp_path: Path):
    folder = build_study(tmp_path, attentions=["cbam"], seeds=3, verdicts=False, costs=False)
    for run in folder.glob("runs/*/*.json"):
        run.unlink()
    assert "under way, 0 of 12 runs finished" in read(write_report(folder)).text


def test_one_variant_without_parameters_or_controls(tmp_path: Path):
    folder = build_study(tmp_path, attentions=["simam"], seeds=6, epochs=2, controls=False, added=0)
    text = read(write_report(folder)).text
    assert "Of 1 attention variant, 1 helps." in text
    assert "against frozen" in text  # the column stays
    assert "frozen random gates" not in text


def test_only_the_baseline(tmp_path: Path):
    folder = build_study(tmp_path, attentions=[], seeds=2, epochs=2)
    assert "holds no attention variant" in read(write_report(folder)).text


def test_many_variants_with_long_names(tmp_path: Path):
    names = [f"channel_spatial_attention_with_a_long_name_number_{i}" for i in range(30)]
    folder = build_study(tmp_path, attentions=names, seeds=3, epochs=2, controls=False)
    page = read(write_report(folder))
    assert len(page.tables[0]) == 32
    assert all(name in page.text for name in names)


def test_numbers_that_are_none(tmp_path: Path):
    folder = build_study(tmp_path, attentions=["cbam"], seeds=3, epochs=3)
    study = load_study(folder)
    for run in study.runs_of("cbam"):
        history = [entry | {"val_metric": nan} for entry in run.history]
        save_run(folder, Run(**{**vars(run), "metric": nan, "history": history}))
    write_json(folder / "verdicts.json", [])
    costs = [vars(c) | {"latency_ratio": None, "latency_ratio_interval": None} for c in study.costs]
    write_json(folder / "costs.json", costs)
    paths = write_report(folder)
    assert "cbam: 3 runs of 3 ended without a number" in read(paths).text
    for path in paths:
        assert not re.search(r"\bnan\b", path.read_text(encoding="utf-8"), re.IGNORECASE)


@pytest.mark.parametrize("library", ["matplotlib", "jinja2", "pandas"])
def test_a_missing_library_is_named_with_its_extra(
    library: str, study_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"{library}.*foveal\[report\]"):
        write_report(study_folder)


def test_no_study(tmp_path: Path):
    with pytest.raises(FovealError, match="holds no study"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []
