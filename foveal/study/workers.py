"""Runs in processes of their own, which end with the study, however it ends."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from foveal.core.errors import FovealError
from foveal.study.config import Design
from foveal.study.records import Run, Variant, save_run

Job = tuple[Variant, int]
OnEpoch = Callable[[], None]


def run_jobs(
    config: Design, folder: Path, jobs: Sequence[Job], workers: int, on_epoch: OnEpoch
) -> Generator[Run, None, None]:
    """Run jobs, several at a time; each is on disk before it is handed out.

    With one worker the runs are made in this process. A run is the same either way.

    Args:
        config: the study.
        folder: where finished runs are saved.
        jobs: variants with seeds.
        workers: processes.
        on_epoch: called at the end of every epoch of any run.

    Raises:
        FovealError: if a run fails or its process dies; all others that finished are kept.
    """
    if workers == 1 or len(jobs) < 2:
        for variant, seed in jobs:
            yield _finish(config, folder, variant, seed, on_epoch)
        return
    with closing(_Pool(config, folder, min(workers, len(jobs)))) as pool:
        yield from pool.work(jobs, on_epoch)


def default_workers() -> int:
    """The cores that this process may use."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # only Linux says which
        return max(1, os.cpu_count() or 1)


def _finish(config: Design, folder: Path, variant: Variant, seed: int, on_epoch: OnEpoch) -> Run:
    try:
        run = config.run(variant, seed, lambda epoch: on_epoch())
    except Exception as error:
        reason = f"{type(error).__name__}: " * (not isinstance(error, FovealError))
        raise FovealError(
            f"the run of {variant.name} with seed {seed} failed: {reason}{error}. What was "
            "finished is kept; mend the cause and go on with --resume"
        ) from error
    save_run(folder, run)
    return run


class _Pool:
    """Spawned processes, each with a pipe of its own, given one job after another."""

    def __init__(self, config: Design, folder: Path, workers: int):
        if multiprocessing.parent_process() is not None:
            raise FovealError(
                "a study was started while its worker imports your script; put the call of "
                "run_study under: if __name__ == '__main__'"
            )
        context = multiprocessing.get_context("spawn")
        self.processes: dict[Connection, Any] = {}
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, config, folder), daemon=True)
            process.start()
            theirs.close()
            self.processes[ours] = process

    def close(self) -> None:
        for pipe, process in self.processes.items():
            process.kill()  # files appear whole or not at all, so nothing needs an orderly end
            process.join()
            pipe.close()

    def work(self, jobs: Sequence[Job], on_epoch: OnEpoch) -> Iterator[Run]:
        waiting = list(reversed(jobs))
        busy: dict[Connection, Job] = {}
        for pipe in self.processes:
            self._give(pipe, waiting, busy)
        while busy:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                try:
                    kind, content = pipe.recv()
                except (EOFError, OSError):
                    raise self._died(pipe, busy[pipe]) from None
                if kind == "epoch":
                    on_epoch()
                elif kind == "failed":
                    raise FovealError(content)
                else:
                    del busy[pipe]
                    self._give(pipe, waiting, busy)
                    yield content

    def _give(self, pipe: Connection, waiting: list[Job], busy: dict[Connection, Job]) -> None:
        if waiting:
            busy[pipe] = waiting.pop()
            try:
                pipe.send(busy[pipe])
            except OSError:
                raise self._died(pipe, busy[pipe]) from None

    def _died(self, pipe: Connection, job: Job) -> FovealError:
        process = self.processes[pipe]
        process.join(5)
        return FovealError(
            f"the process that ran {job[0].name} with seed {job[1]} died (exit status "
            f"{process.exitcode}; -9 is often too little memory: try --workers 1). What was "
            "finished is kept; go on with --resume"
        )


def _serve(pipe: Connection, config: Design, folder: Path) -> None:
    """What a worker does: jobs until the pipe or the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            variant, seed = pipe.recv()
        except EOFError:
            return
        try:
            run = _finish(config, folder, variant, seed, lambda: pipe.send(("epoch", None)))
            pipe.send(("done", run))
        except FovealError as error:
            pipe.send(("failed", str(error)))
        except (BrokenPipeError, KeyboardInterrupt):
            return


def _end_with_parent() -> None:
    """A study killed outright must leave no worker behind that writes into its folder."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        sys.stderr.close()  # nobody is left to read a complaint
        os._exit(1)
