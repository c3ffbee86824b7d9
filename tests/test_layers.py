"""The order of the layers, read from the imports."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import foveal

ROOT = Path(foveal.__file__).parent
LAYERS = (
    *("core", "ops", "attention", "originals", "mix", "surgery", "measure", "choose"),
    *("explain", "train", "study", "export", "report", "yolo", "testing", "cli"),
)
LIGHT = {"torch", "einops", "jaxtyping", "foveal", *sys.stdlib_module_names}
"""All that core to surgery may import before they are asked for anything."""

FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT)


def imported(nodes: list[ast.stmt], deep: bool) -> Iterator[str]:
    """The modules that statements import, as they stand or, deep, in functions as well."""
    for node in nodes:
        for part in ast.walk(node) if deep else [node]:
            if isinstance(part, ast.Import):
                yield from (alias.name for alias in part.names)
            elif isinstance(part, ast.ImportFrom):
                assert part.level == 0, f"relative import in line {part.lineno}"
                yield from (f"{part.module}.{alias.name}" for alias in part.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_from_the_layers_above(path: Path):
    layer = path.relative_to(ROOT).parts[0]
    statements = ast.parse(path.read_text(encoding="utf-8")).body
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    for name in imported(statements, deep=True):
        parts = name.split(".")
        allowed_here = parts[0] != "foveal" or parts[1] in (*allowed, "__version__")
        assert allowed_here, f"{layer} imports {name}"
    if LAYERS.index(layer) <= LAYERS.index("surgery"):
        heavy = {name.split(".")[0] for name in imported(statements, deep=False)} - LIGHT
        assert not heavy, f"{heavy} belong inside the functions that use them"


def test_the_check_sees_what_it_looks_for():
    statements = ast.parse("import torch, yaml\nif True:\n    from foveal.cli import check").body
    assert list(imported(statements, deep=False)) == ["torch", "yaml"]
    assert list(imported(statements, deep=True)) == ["torch", "yaml", "foveal.cli.check"]
