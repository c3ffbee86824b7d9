"""Choosing: the prior says what to try first, measurement says what stays and in which order."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from time import perf_counter
from typing import Any, Protocol

from torch import Tensor, nn

from foveal.choose.budget import Budget, read_budget
from foveal.choose.candidates import candidates
from foveal.choose.choice import Choice, Entry
from foveal.choose.places import SHAPE, find_host
from foveal.choose.prior import TASKS, Setting
from foveal.choose.runtime import RUNTIMES
from foveal.choose.trial import Bare, in_bytes, measure_bare, try_out
from foveal.core.errors import FovealError, did_you_mean, require
from foveal.core.registry import attention_info, list_attentions
from foveal.measure import environment
from foveal.measure.state import describe

LATENCY_SECONDS = 2.0
"""For each trial; never fewer than ten rounds."""
POINTS_PER_COST = 5
"""One point of the prior weighs as much as a fifth more time, parameters or memory."""
EXPLORED = 0.25
"""Share of the trials for the cheapest of those that no rule speaks for."""
OTHER_PLACES_OF = 3
"""So many of the best are tried at their other places as well, if time is left."""


def choose(
    model_or_shape: str | Sequence[int] | nn.Module,
    *,
    task: str = "classification",
    memory: str | float | None = None,
    latency: str | None = None,
    parameters: str | float | None = None,
    runtime: str = "torch",
    mechanisms: Sequence[str] | None = None,
    where: Sequence[str] | None = None,
    size: int | None = None,
    frames: int | None = None,
    example_input: Any = None,
    measure: int = 12,
    seconds: float = 90.0,
    progress: bool = True,
) -> Choice:
    """Rank mechanisms and places for a model or a shape, by rules first and by measured cost last.

    What a card declares or computes is settled first and costs nothing. Of what is left, the best
    by the prior, and a few of the cheapest that no rule speaks for, are inserted, counted and timed
    in turns with the bare host. What breaks the budget is dropped, whatever the prior says. Those
    kept are ranked by the points of the prior less one for every 20 % of time, parameters or memory
    that they add. Nothing is said about accuracy: that is what a study is for.

    Args:
        model_or_shape: a host's name such as `timm:resnet18`, a module, or a shape `CxHxW`
            (`TxCxHxW` for a video), whose host is a 3 × 3 convolution of as many channels.
        task: classification, detection, segmentation, video or multi-modal.
        memory: the most that a forward pass of one image may hold, such as `8GB`.
        latency: the most time that it may take: `20ms` (for a shape: that may be added) or `1.2x`.
        parameters: the most that may be added: `50k`, or `2%` of the host's.
        runtime: torch, torch.compile, torch.export, onnx or mobile; declared limits are read, and
            times are of PyTorch as it stands.
        mechanisms: names or wildcards. Default: all.
        where: places as `foveal.insert` takes them. Default: the presets that the host has.
        size: height and width of the picture, for a named host.
        frames: give a named host clips of so many frames.
        example_input: what to call a module with.
        measure: stop when so many mechanisms have been measured and kept.
        seconds: begin no trial after so many.
        progress: show a bar on stderr.

    Raises:
        FovealError: for a value that makes no sense, before any work; if the host alone breaks the
            budget; if a mechanism or place that was named does not exist.

    >>> from foveal.choose import choose
    >>> found = choose((8, 6, 6), mechanisms=["eca"], progress=False)
    >>> [entry.mechanism for entry in found.kept]
    ['eca']
    """
    start = perf_counter()
    _check_word("task", task, TASKS)
    _check_word("runtime", runtime, tuple(RUNTIMES))
    budget = read_budget(memory, latency, parameters)
    if measure < 1:
        raise FovealError(f"measure={measure} must be at least 1")
    if not seconds > 0:
        raise FovealError(f"seconds={seconds} must be above 0")
    names = _names(mechanisms)
    host = find_host(model_or_shape, size=size, frames=frames, example_input=example_input)
    places = host.places(where)
    bare = measure_bare(host)
    if budget.memory is not None and bare.memory > budget.memory:
        raise FovealError(
            f"memory: {host.name} alone holds {in_bytes(bare.memory)}, above the budget of "
            f"{in_bytes(budget.memory)}; allow more, or take a smaller model or picture"
        )
    setting = Setting(task, runtime, budget.memory)
    entries = candidates(host, places, names, setting, budget, bare.parameters)

    def tried(entry: Entry) -> Entry:
        heard = task == "classification" and host.shape is None
        found = try_out(entry, host, bare, budget, LATENCY_SECONDS, must_be_heard=heard)
        if host.shape is None and found.timing is not None:
            _check_bare_time(found.timing.bare_p50_ms, host.name, budget)
        return found

    with _bar(progress, measure) as show:
        end = perf_counter() + seconds
        done, in_time = _trials(entries, bare, tried, measure, end, show)
    ranked = _ranked(done, bare)
    return Choice(
        host=host.name,
        spec=host.spec,
        input=describe(host.example),
        image_size=_image_size(host.example),
        is_shape=host.shape is not None,
        task=task,
        runtime=runtime,
        budget=budget,
        bare=asdict(bare),
        entries=tuple(ranked),
        notes=tuple(_notes(task, runtime, host.shape is not None, in_time, seconds)),
        seconds=round(perf_counter() - start, 1),
        environment=environment(),
    )


def score(entry: Entry, bare: Bare) -> float:
    """Points of the prior, less one for each 20 % of time, parameters or memory added."""
    assert entry.timing is not None
    shares = [entry.timing.ratio - 1, (entry.parameters or 0) / max(bare.parameters, 1)]
    if entry.where != SHAPE:  # one layer holds so little that a second map would be everything
        shares.append((entry.memory or 0) / max(bare.memory, 1) - 1)
    return entry.prior - POINTS_PER_COST * sum(max(0.0, share) for share in shares)


class _Show(Protocol):
    def __call__(self, entry: Entry | None, kept: int) -> None: ...


def _trials(
    entries: Sequence[Entry],
    bare: Bare,
    tried: Callable[[Entry], Entry],
    measure: int,
    end: float,
    show: _Show,
) -> tuple[list[Entry], bool]:
    """The entries, the best of them measured, and whether there was time for all that was meant."""
    results: dict[tuple[str, str | None], Entry] = {(e.mechanism, e.where): e for e in entries}
    places: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.status == "not measured":
            places.setdefault(entry.mechanism, []).append(entry)
    for several in places.values():
        several.sort(key=lambda e: (-e.prior, _stated_share(e, bare), e.multiply_adds))

    def run(entry: Entry) -> Entry:
        show(entry, len(kept))
        results[entry.mechanism, entry.where] = found = tried(entry)
        return found

    kept: list[Entry] = []
    line = deque(_order([several[0] for several in places.values()], bare))
    while line and len(kept) < measure:
        if perf_counter() > end:
            return list(results.values()), False
        found = run(line.popleft())
        if found.status == "kept":
            kept.append(found)
        elif found.group in ("latency", "memory", "not heard", "does not fit"):
            # Where a mechanism fails, a cheaper place, or an earlier one, may still do.
            left = [e for e in places[found.mechanism] if results[e.mechanism, e.where] is e]
            left = [
                e
                for e in left
                if found.group in ("not heard", "does not fit")
                or (e.multiply_adds or 0) < (found.multiply_adds or 0)
            ]
            if left:
                line.appendleft(min(left, key=lambda e: e.multiply_adds or 0))
    for best in _ranked(kept, bare)[:OTHER_PLACES_OF]:
        for entry in places[best.mechanism]:
            if results[entry.mechanism, entry.where] is not entry:
                continue
            if perf_counter() > end:
                return list(results.values()), False
            run(entry)
    show(None, len(kept))
    return list(results.values()), True


def _order(firsts: Sequence[Entry], bare: Bare) -> Iterator[Entry]:
    """The prior's best first, and after every few of them the cheapest that no rule favours."""

    def cost(entry: Entry) -> tuple[float, str]:
        return _stated_share(entry, bare), entry.mechanism

    def age(entry: Entry) -> tuple[int, str]:
        year = re.search(r"\b(?:19|20)\d\d\b", attention_info(entry.mechanism).paper)
        return int(year[0]) if year else 9999, entry.mechanism

    favoured = [e for e in firsts if e.prior > 0]
    others = deque(sorted((e for e in firsts if e.prior <= 0), key=cost))
    every = max(1, round(1 / EXPLORED))
    for turn in range(len(firsts)):
        if not favoured or (turn % every == every - 1 and others):
            yield others.popleft()
            continue
        most = max(entry.prior for entry in favoured)
        # among equals the cheapest and those that have been tried for longest take turns
        best = min((e for e in favoured if e.prior == most), key=(cost, age)[turn % 2])
        favoured.remove(best)
        yield best


def _stated_share(entry: Entry, bare: Bare) -> float:
    """What the card's formulas add, as shares of the host's parameters and multiply-adds."""
    return (entry.parameters or 0) / max(bare.parameters, 1) + (entry.multiply_adds or 0) / max(
        bare.multiply_adds, 1
    )


def _ranked(entries: Sequence[Entry], bare: Bare) -> list[Entry]:
    """Kept ones first, by score; then what was not measured, what needs hands, what is out."""
    scored = [
        replace(entry, score=round(score(entry, bare), 3)) if entry.timing else entry
        for entry in entries
    ]
    kept = sorted((e for e in scored if e.status == "kept"), key=lambda e: -(e.score or 0))
    at = {entry.mechanism: entry.where for entry in reversed(kept)}
    rest = [_passed_over(e, at) if e.status == "not measured" else e for e in scored]
    order = ("not measured", "by hand", "dropped")
    rest = sorted((e for e in rest if e.status != "kept"), key=lambda e: order.index(e.status))
    return [*(_placed(entry, i) for i, entry in enumerate(kept, 1)), *rest]


def _placed(entry: Entry, rank: int) -> Entry:
    reasons = entry.reasons
    if entry.prior > 0 and (entry.score or 0) <= 0:
        reasons = (*reasons, "what it costs weighs more than the prior, which speaks for it")
    return replace(entry, rank=rank, reasons=reasons)


def _passed_over(entry: Entry, kept_at: dict[str, str | None]) -> Entry:
    where = kept_at.get(entry.mechanism)
    reason = (
        f"kept at {where}, and not tried here"
        if where
        else "others came before it by the prior and the stated cost; measure more to try it"
    )
    return replace(entry, reasons=(*entry.reasons, reason))


def _names(mechanisms: Sequence[str] | None) -> list[str]:
    if mechanisms is None:
        return list_attentions()
    if isinstance(mechanisms, str):
        mechanisms = [mechanisms]
    names: list[str] = []
    for pattern in mechanisms:
        found = list_attentions(pattern) or [
            attention_info(pattern).name
        ]  # which says what is near
        names += [name for name in found if name not in names]
    if not names:
        raise FovealError("mechanisms=[] names none; leave it out for all")
    return names


def _image_size(example: Any) -> int | None:
    square = isinstance(example, Tensor) and example.ndim == 4
    square = square and example.shape[2] == example.shape[3]
    return example.shape[3] if square else None


def _check_word(name: str, value: Any, words: Sequence[str]) -> None:
    if value not in words:
        near = did_you_mean(value, words).rstrip(".") if isinstance(value, str) else ""
        raise FovealError(f"{name}={value!r} must be one of {', '.join(words)}{near}")


def _check_bare_time(took: float, name: str, budget: Budget) -> None:
    allowed = budget.milliseconds
    if allowed is not None and took > allowed:
        raise FovealError(
            f"latency: {name} alone takes {took:.3g} ms on this machine, above the budget of "
            f"{allowed:g} ms; allow more, or take a smaller model or picture"
        )


def _notes(task: str, runtime: str, is_shape: bool, in_time: bool, seconds: float) -> Iterator[str]:
    yield "Nothing here is about accuracy; a study decides that: foveal study"
    if task != "classification":
        yield (
            f"a study trains classifiers: for {task} it tells what the mechanism does for the "
            "backbone, and training with your own head decides"
        )
    if runtime != "torch":
        yield (
            f"times are of PyTorch as it stands on this machine, not of {runtime}; "
            "of that, only what cards declare is used"
        )
    if is_shape:
        yield (
            "the host of a shape is one 3 × 3 convolution of as many channels, and memory does not "
            "count for its ranks"
        )
    if not in_time:
        yield f"the {seconds:g} seconds ran out before all was tried; allow more seconds"


@contextmanager
def _bar(show: bool, measure: int) -> Iterator[_Show]:
    """A bar on stderr that counts the mechanisms kept."""
    if not show:
        yield lambda entry, kept: None
        return
    rich = require("rich.progress", "cli")
    console = require("rich.console", "cli").Console(stderr=True)
    columns = (rich.TextColumn("{task.description}"), rich.BarColumn(), rich.TimeElapsedColumn())
    with rich.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("looking at cards", total=measure)

        def advance(entry: Entry | None, kept: int) -> None:
            words = f"measuring {entry.mechanism} at {entry.where}" if entry else "done"
            bar.update(task, completed=kept, description=words)

        yield advance
