"""What `import foveal` promises: every public name, documented, and nothing heavy imported."""

import inspect
import json
import subprocess
import sys

import pytest

import foveal

HEAVY = {
    "timm", "torchvision", "lightning", "scipy", "sklearn", "matplotlib", "pandas", "jinja2",
    "onnx", "onnxruntime", "safetensors", "yaml", "typer", "rich", "ultralytics", "ray",
}  # fmt: skip

FUNCTIONS = [n for n in foveal.__all__ if inspect.isfunction(getattr(foveal, n))]


def test_import_needs_the_core_only() -> None:
    code = "import sys, json, foveal; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    roots = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert not roots & HEAVY


ALIASES = {"Map", "Maps", "Points", "Scores", "Tokens", "Video"}


@pytest.mark.parametrize("name", sorted(set(foveal.__all__) - ALIASES))
def test_public_name_is_documented(name: str) -> None:
    thing = getattr(foveal, name)
    if inspect.isclass(thing) or inspect.isroutine(thing):
        assert thing.__doc__, f"foveal.{name} has no docstring"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_function_shows_an_example(name: str) -> None:
    doc = getattr(foveal, name).__doc__ or ""
    assert ">>> " in doc or "@register_attention" in doc or "::" in doc, (
        f"foveal.{name}: no example"
    )


def test_names_are_sorted_and_unique() -> None:
    assert list(foveal.__all__) == sorted(set(foveal.__all__))
