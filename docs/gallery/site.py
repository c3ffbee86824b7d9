"""The whole site: the documents as they stand, the gallery beside them, built by MkDocs."""

import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from docs.gallery.facts import Facts
from docs.gallery.page import FAMILIES, family_name, index, page
from docs.gallery.processes import in_processes
from foveal.core.files import write_whole

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
STAGE = ROOT / "build" / "docs"
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def documents() -> list[Path]:
    """The documents that the site holds as they stand."""
    top = [ROOT / name for name in ("README.md", "DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [
        *(path for path in top if path.exists()),
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "docs/decisions").glob("*.md")),
        ROOT / "examples/my_plugin/README.md",
    ]


def stage(facts: Mapping[str, Facts], folder: Path = STAGE) -> None:
    """Write what MkDocs builds from: documents, pages, styles and its configuration."""
    shutil.rmtree(folder, ignore_errors=True)
    sources = folder / "docs"
    held = documents()
    for path in held:
        target = sources / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, _document(path, held))
    shutil.copytree(ROOT / "docs/images", sources / "docs/images")
    gallery = sources / "gallery"
    gallery.mkdir()
    pages = in_processes(page, list(facts.values()))
    for name, text in zip(facts, pages, strict=True):
        write_whole(gallery / f"{name}.md", text)
    write_whole(gallery / "index.md", index(facts))
    shutil.copy(HERE / "gallery.css", gallery / "gallery.css")
    configuration = yaml.safe_load((HERE / "mkdocs.yml").read_text(encoding="utf-8"))
    configuration["nav"] = navigation(facts, held)
    write_whole(folder / "mkdocs.yml", yaml.safe_dump(configuration, sort_keys=False))


def build(facts: Mapping[str, Facts], site: Path, folder: Path = STAGE) -> None:
    """Stage the documents and build the site; a broken link or a warning fails it."""
    from mkdocs.commands.build import build as build_site
    from mkdocs.config import load_config

    stage(facts, folder)
    configuration = load_config(str(folder / "mkdocs.yml"), site_dir=str(site), strict=True)
    build_site(configuration)


def navigation(facts: Mapping[str, Facts], held: Iterable[Path]) -> list[dict[str, object]]:
    """The gallery by family, then the documents."""
    by_family: dict[str, list[str]] = {}
    for name, one in facts.items():
        by_family.setdefault(one.card.family, []).append(f"gallery/{name}.md")
    order = [f for f in FAMILIES if f in by_family] + sorted(set(by_family) - set(FAMILIES))
    families = [{family_name(family): by_family[family]} for family in order]
    decisions = [str(path.relative_to(ROOT)) for path in held if path.parent.name == "decisions"]
    decisions.sort(key=lambda name: not name.endswith("README.md"))
    further = [str(path.relative_to(ROOT)) for path in held if path.parent == ROOT / "docs"]
    return [
        {"Foveal": ["README.md", *further]},
        {"Mechanisms": [{"All": "gallery/index.md"}, *families]},
        {"Design": ["DESIGN.md", {"Decisions": decisions}]},
        {"Contributing": ["CONTRIBUTING.md", {"A plug-in": "examples/my_plugin/README.md"}]},
        {"Changes": "CHANGELOG.md"},
    ]


def _document(path: Path, held: list[Path]) -> str:
    """A document for the site: links to files that it does not hold become plain text."""

    def kept(link: re.Match[str]) -> str:
        target = (path.parent / link[2]).resolve()
        return link[0] if target in held else link[1]

    text = _LINK.sub(kept, path.read_text(encoding="utf-8"))
    return re.sub(r"^```(\w+) file=\S+$", r"```\1", text, flags=re.MULTILINE)
