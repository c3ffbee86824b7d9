"""What a user is told, and how their own code is found."""

import sys

import pytest

from foveal import FovealError, MissingExtraError
from foveal.core.errors import did_you_mean, require
from foveal.core.imports import import_callable


def test_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(
        MissingExtraError, match=r"onnx is not installed.*'foveal\[onnx\]'"
    ) as raised:
        require("onnx", "onnx")
    assert isinstance(raised.value, FovealError)
    assert isinstance(raised.value, ImportError)


def test_library_that_lacks_something_itself_says_so_itself(tmp_path, monkeypatch):
    (tmp_path / "half_a_library.py").write_text("import its_own_need")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="its_own_need") as raised:
        require("half_a_library", "study")
    assert not isinstance(raised.value, FovealError)


def test_at_most_three_near_names_nearest_first():
    names = ["cbam", "cbam2", "cbam3", "cbam4", "eca"]
    assert did_you_mean("cbam1", names).count(" or ") == 2
    assert did_you_mean("CBAM", names).startswith("; did you mean cbam or")
    assert did_you_mean("zebra", names) == "."
    assert did_you_mean("x", []) == "."


def test_spec_of_ones_own_code(tmp_path, monkeypatch):
    (tmp_path / "own_code.py").write_text("def make(c):\n    return c\nnumber = 3\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    assert import_callable("py:own_code:make")(4) == 4
    for spec, message in {
        "py:own_code:mak": "no function or class 'mak'; did you mean make?",
        "py:own_code:number": "no function or class 'number'",
        "py:own_code": "must be py:package.module:name",
        "own_code:make": "must be py:package.module:name",
        "py::make": "must be py:package.module:name",
        "py:no_code:make": "there is no module 'no_code'",
        "py:own_code.deeper:make": "no module 'own_code.deeper'",
    }.items():
        with pytest.raises(FovealError, match=message.replace("?", r"\?")):
            import_callable(spec)


def test_own_code_that_fails_says_why(tmp_path, monkeypatch):
    (tmp_path / "failing_code.py").write_text("1 / 0")
    (tmp_path / "needing_code.py").write_text("import a_need_of_its_own")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FovealError, match="importing failing_code failed: ZeroDivisionError"):
        import_callable("py:failing_code:make")
    with pytest.raises(FovealError, match=r"importing needing_code failed.*a_need_of_its_own"):
        import_callable("py:needing_code:make")
