"""A bar with the time left, for people who wait."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from foveal.core.errors import require


@contextmanager
def progress_bar(
    show: bool, runs: int, done: int, epochs: int
) -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """A bar over all epochs of all runs, on stderr.

    Args:
        show: whether to show one at all.
        runs: runs of the study.
        done: how many of them were finished before.
        epochs: of a run.

    Yields:
        What to call at the end of an epoch, and at the end of a run.
    """
    if not show:
        yield (lambda: None), (lambda: None)
        return
    rich = require("rich.progress", "study")
    console = require("rich.console", "study").Console(stderr=True)
    columns = (
        rich.TextColumn("{task.fields[finished]} of {task.fields[runs]} runs"),
        rich.BarColumn(),
        rich.TaskProgressColumn(),
        rich.TextColumn("left"),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=console, speed_estimate_period=120) as bar:
        left = (runs - done) * epochs
        task = bar.add_task("runs", total=left, runs=runs, finished=done)
        finished = done

        def on_run() -> None:
            nonlocal finished
            finished += 1
            bar.update(task, finished=finished)

        yield (lambda: bar.advance(task)), on_run
