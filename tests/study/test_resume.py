"""kill -9 at any moment: nothing finished is lost or repeated, and no worker is left."""

import subprocess
import sys
import time

import psutil
import pytest
from small_study import SMALL

from foveal import FovealError
from foveal.core.files import write_whole
from foveal.study import workers
from foveal.study.records import load_study
from foveal.study.run import run_study

CONFIG = """\
name: small
variants:
  - {attention: eca, where: stages.2}
data: {train_limit: 96, test_limit: 50}
training: {epochs: 1, batch_size: 32}
seeds: 2
"""


def start(folder) -> subprocess.Popen:
    path = write_whole(folder.parent / "small.yaml", CONFIG)
    command = [sys.executable, "-m", "foveal", "study", path, "--out", folder, "--workers", "2"]
    return subprocess.Popen(command)


def finished(folder) -> dict:
    return {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.glob("runs/*/seed-*.json")}


def test_killed_and_resumed_gives_what_an_undisturbed_study_gives(tmp_path):
    folder = tmp_path / "killed"
    process = start(folder)
    deadline = time.monotonic() + 300
    while not finished(folder):
        assert process.poll() is None, "the study ended before it could be killed"
        assert time.monotonic() < deadline, "no run finished"
        time.sleep(0.02)
    helpers = psutil.Process(process.pid).children(recursive=True)
    process.kill()  # SIGKILL: nothing can be tidied up
    process.wait()
    gone, alive = psutil.wait_procs(helpers, timeout=20)
    assert len(gone) >= 2
    assert not alive, "workers outlived the study"
    kept = finished(folder)
    assert 1 <= len(kept) < 8
    assert len(load_study(folder).runs) == len(kept)

    resumed = run_study(SMALL, folder, resume=True, workers=1, progress=False)
    assert resumed.complete
    after = finished(folder)
    assert len(after) == 8
    assert all(after[path] == mark for path, mark in kept.items()), "a finished run was repeated"

    undisturbed = run_study(SMALL, tmp_path / "whole", workers=1, progress=False)
    results = [
        sorted((r.variant, r.seed, r.metric, r.host_hash, r.order_hash) for r in study.runs)
        for study in (resumed, undisturbed)
    ]
    assert results[0] == results[1]  # bit by bit, though made in other processes


@pytest.mark.slow
def test_a_worker_that_dies_is_told_and_the_rest_is_kept(tmp_path, monkeypatch):
    def kill_all(self, pipe, waiting, busy, give=workers._Pool._give):
        if len(waiting) == 5:  # the first of eight runs is finished
            for process in self.processes.values():
                process.kill()
        give(self, pipe, waiting, busy)

    monkeypatch.setattr(workers._Pool, "_give", kill_all)
    with pytest.raises(FovealError, match=r"died .exit status -9.*go on with --resume"):
        run_study(SMALL, tmp_path / "s", workers=2, progress=False)
    assert 1 <= len(load_study(tmp_path / "s").runs) <= 3
