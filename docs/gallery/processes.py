"""Work for several processes at once."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import torch

WORKERS = min(4, os.cpu_count() or 1)
"""Processes at once."""
FEW = 8
"""So few are done in this process: starting others, which import everything anew, takes longer."""

T = TypeVar("T")
R = TypeVar("R")


def in_processes(work: Callable[[T], R], items: Sequence[T], few: int = FEW) -> Iterator[R]:
    """What `work` gives for each item, in their order.

    The processes are spawned. A fork would copy the locks of PyTorch's threads but not the threads
    that release them, and the first large operation in the copy would wait for ever. Each process
    has one thread: more than there are cores, in all, would hinder one another.

    >>> list(in_processes(abs, [-1, 2]))
    [1, 2]
    """
    if len(items) <= few:
        yield from map(work, items)
        return
    workers = min(WORKERS, len(items))
    with ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        yield from pool.map(work, items)
