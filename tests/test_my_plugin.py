"""A third party's package, installed as its README says and used from another process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[1] / "examples/my_plugin"
BROKEN = """[foveal.attention]
broken_gate = broken_plugin_of_somebody
"""


def python(*arguments: str, path: Path) -> subprocess.CompletedProcess:
    """Run Python with the installed plug-ins on its path, in a folder that has nothing else."""
    environment = os.environ | {"PYTHONPATH": str(path), "COLUMNS": "100", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the example's package in it, installed from its own pyproject.toml."""
    folder = tmp_path_factory.mktemp("plugins")
    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = python(*pip, "--target", str(folder), str(PLUGIN), path=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_stands_beside_ours(installed: Path):
    code = (
        "import foveal, torch; names = foveal.list_attentions(); "
        "gate = foveal.create_attention('row_gate', 8, kernel_size=5); "
        "print('row_gate' in names, 'eca' in names, gate(torch.rand(1, 8, 3, 4)).shape[1:], "
        "foveal.attention_info('row_gate').cls.__module__)"
    )
    done = python("-W", "error", "-c", code, path=installed)
    assert done.stdout == "True True torch.Size([8, 3, 4]) my_plugin.row_gate\n", done.stderr


def test_keeps_every_law(installed: Path):
    done = python("-m", "foveal", "check", "row_gate", "--json", path=installed)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout)["row_gate"]
    assert {r["check"] for r in results if r["status"] != "passed"} == {"fused"}
    assert len(results) > 20


def test_its_own_tests_pass_where_it_is_installed(installed: Path):
    tests = str(PLUGIN / "tests")
    options = ["-v", "-p", "no:cacheprovider", "-o", "addopts=", "-k"]
    options.append("not onnx and not export and not compile")
    done = python("-m", "pytest", *options, "--rootdir", str(installed), tests, path=installed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_rows_are_gated_by_hand PASSED" in done.stdout
    assert "test_conformance[row_gate-shape] PASSED" in done.stdout


def test_broken_plugin_is_a_warning_and_takes_nothing_away(installed: Path, tmp_path: Path):
    for package in installed.iterdir():
        (tmp_path / package.name).symlink_to(package)
    record = tmp_path / "broken_plugin-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text(BROKEN)
    (tmp_path / "broken_plugin_of_somebody.py").write_text("import no_such_library\n")
    code = "import foveal; print({'eca', 'row_gate'} <= {*foveal.list_attentions()})"
    done = python("-c", code, path=tmp_path)
    assert done.stdout == "True\n", done.stderr
    assert "plug-in broken_gate (broken_plugin_of_somebody) could not be loaded" in done.stderr
    assert "No module named 'no_such_library'" in done.stderr


def test_nothing_of_it_is_registered_here():
    """The package was installed elsewhere, so these tests leave the registry as it was."""
    from foveal import list_attentions

    assert "row_gate" not in list_attentions()
