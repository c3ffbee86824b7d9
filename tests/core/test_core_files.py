"""Files appear whole or not at all."""

import errno
import os
import stat

import pytest

from foveal import FovealError
from foveal.core import files
from foveal.core.files import write_whole


def test_text_and_bytes_arrive_and_folders_are_made(tmp_path):
    target = tmp_path / "a" / "b" / "study.json"
    assert write_whole(target, "σ ≤ ½\n") == target
    assert target.read_text(encoding="utf-8") == "σ ≤ ½\n"
    write_whole(str(target), b"\x00\x01")
    assert target.read_bytes() == b"\x00\x01"
    assert os.listdir(target.parent) == ["study.json"]


def test_others_may_read_it(tmp_path):
    mode = write_whole(tmp_path / "page.html", "x").stat().st_mode
    assert stat.S_IMODE(mode) == 0o644


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("existing", [True, False])
def test_full_disk_leaves_what_was_there_and_nothing_besides(tmp_path, monkeypatch, step, existing):
    target = tmp_path / "results.jsonl"
    if existing:
        target.write_text("old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, step, full)
    with pytest.raises(FovealError, match=r"could not write .*results\.jsonl: No space left"):
        write_whole(target, "new" * 1000)
    assert os.listdir(tmp_path) == (["results.jsonl"] if existing else [])
    assert not existing or target.read_text() == "old"


def test_interruption_leaves_what_was_there_and_nothing_besides(tmp_path, monkeypatch):
    target = tmp_path / "results.jsonl"
    target.write_text("old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(target, "new")
    assert os.listdir(tmp_path) == ["results.jsonl"]
    assert target.read_text() == "old"


def test_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("a file, not a folder")
    with pytest.raises(FovealError, match="could not write"):
        write_whole(tmp_path / "file" / "page.html", "x")
    (tmp_path / "folder" / "kept").mkdir(parents=True)
    with pytest.raises(FovealError, match="could not write"):
        write_whole(tmp_path / "folder", "x")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
