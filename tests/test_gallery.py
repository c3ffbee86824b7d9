"""The gallery: three pages and the index, as a browser gets them."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from threaded_sum import threaded_sum
from torch import nn

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from docs.gallery import axes, cost, facts, laws, page, processes, prose, site, snippet  # noqa: E402
from docs.gallery.diagram import diagram  # noqa: E402
from docs.gallery.example import example  # noqa: E402
from docs.gallery.neighbours import mentioned, neighbours  # noqa: E402
from docs.gallery.originals import loaders  # noqa: E402
from foveal import Map, attention_info, list_attentions  # noqa: E402
from foveal.core.card import Card  # noqa: E402

NAMES = "eca", "mhsa", "swin"
PASSED = [
    {"law": law, "torch": torch.__version__, "status": "passed", "reason": ""} for law in laws.LAWS
]


class Loaded(HTMLParser):
    """What a page loads, and what it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value for key, value in attrs if value}
        if "src" in found:
            self.loads.append(found["src"])
        if tag == "link" and "href" in found:
            self.loads.append(found["href"])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery")
    three = {name: facts.Facts(attention_info(name), PASSED) for name in NAMES}
    site.build(three, folder / "site", folder / "stage")
    return folder / "site"


def read(path: Path) -> Loaded:
    parser = Loaded()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser


def test_pages_load_nothing_from_elsewhere(built: Path) -> None:
    pages = sorted(built.rglob("*.html"))
    assert {f"{name}.html" for name in NAMES} < {path.name for path in pages}
    for path in pages:
        for target in read(path).loads:
            assert not re.match(r"(https?:)?//", target), f"{path.name} loads {target}"
    for path in built.rglob("*.css"):
        assert not re.search(r"@import|url\((?!['\"]?(data:|#|\.))", path.read_text())


def test_links_lead_somewhere(built: Path) -> None:
    absent = {f"{name}.html" for name in list_attentions()} - {f"{name}.html" for name in NAMES}
    for path in built.rglob("*.html"):
        for target in read(path).links:
            target = target.split("#")[0]
            if not target or re.match(r"\w+:", target) or path.name == "404.html":
                continue
            there = path.parent / target
            assert there.exists() or target in absent, f"{path.name} links to {target}"


def test_page_shows_all_that_is_known(built: Path) -> None:
    text = (built / "gallery/eca.html").read_text(encoding="utf-8")
    assert "<math" in text
    assert 'class="g-flow"' in text
    assert "To <b>a channel</b>" in text
    assert "After the last convolution of each residual block" in text
    assert "torch.Size([2, 256, 1, 1])" in text
    assert 'href="se.html"' in text
    for left in ("{{", "{%", "$$", "&lt;div", "&lt;math"):
        assert left not in text
    for size in cost.SIZES:
        assert " × ".join(map(str, size)) in text


def test_index_has_every_mechanism_and_its_filters(built: Path) -> None:
    text = (built / "gallery/index.html").read_text(encoding="utf-8")
    assert re.findall(r'<tr data-family="(\w+)"', text) == ["channel", "self_attention", "window"]
    assert 'data-also="exports weights drop-in"' in text
    for group, value in (("family", "channel"), ("takes", "tokens"), ("cost", "slight")):
        assert f'data-group="{group}" data-value="{value}"' in text
    script = page.Path(page.__file__).with_name("filter.js").read_text(encoding="utf-8")
    assert script.strip() in text


@pytest.mark.parametrize("name", list_attentions())
def test_every_card_can_be_shown(name: str) -> None:
    card = attention_info(name)
    assert prose.formulas(card)
    assert prose.paragraphs(card) is not None
    assert prose.rich(f"{card.departs} {' '.join(card.explanations.values())}")
    assert axes.belongs_to(card).startswith(("a ", "an "))
    assert len(neighbours(card)) == 5


@pytest.mark.parametrize("name", ["eca", "sk", "mhsa", "involution", "temporal", "cross_attention"])
def test_diagram_is_of_what_the_mechanism_returned(name: str) -> None:
    card = attention_info(name)
    seen = example(card)
    assert seen.weights is not None
    drawn = diagram(card, seen)
    assert drawn.count("<svg") == len(card.inputs) + 3
    assert 'class="g-cell"' in drawn
    assert not re.search(r"#[0-9a-f]{3}|rgb\(|nan", drawn)


def test_processes_do_not_wait_for_the_threads_of_this_one() -> None:
    """A forked process would, for ever, at its first operation that is shared among threads."""
    threads = torch.get_num_threads()
    try:
        wanted = [threaded_sum(size) for size in (100_000, 90_000)]
        found = list(processes.in_processes(threaded_sum, [100_000, 90_000], few=0))
    finally:
        torch.set_num_threads(threads)
    assert found == wanted


def test_neighbours_named_in_the_docstring_come_first() -> None:
    card = attention_info("eca")
    assert mentioned(card) == {"se"}
    assert neighbours(card, 1)[0].name == "se"


def test_loaders_are_found_by_the_class_that_is_built() -> None:
    assert {"se", "se_bias"} <= {original.key for original in loaders("se")}
    assert "lska" in {original.key for original in loaders("lska")}
    assert "lska" not in {original.key for original in loaders("lka")}


def test_digest_follows_what_is_imported() -> None:
    assert laws.digest(attention_info("eca")) != laws.digest(attention_info("se"))
    files = laws._imported(ROOT / "foveal/attention/channel/eca.py")
    assert ROOT / "foveal/ops/gate.py" in files


class Broken(nn.Module):
    r"""Do nothing.

    $$y = \nosuchcommand{x}$$
    """

    def __init__(self, channels: int):
        super().__init__()

    def forward(self, x: Map) -> Map:
        raise RuntimeError("not today")


def test_faults_fail_the_build() -> None:
    card = Card("broken", Broken, "Nobody", None, "channel", "map")
    with pytest.raises(prose.FormulaError, match="nosuchcommand"):
        prose.formulas(card)
    with pytest.raises(snippet.SnippetError, match="there is no attention"):
        snippet.snippet(card)
