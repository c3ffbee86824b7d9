"""One mechanism put in one place, and measured there."""

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from foveal.choose.budget import Budget
from foveal.choose.candidates import dropped
from foveal.choose.choice import Entry, Timing
from foveal.choose.places import Host
from foveal.core.errors import FovealError
from foveal.measure import (
    count_multiply_adds,
    count_traffic,
    measure_latency,
    parameter_count,
)
from foveal.surgery.insert import insert

CHEAP = 1.1
"""Up to this multiple of the bare model's time a mechanism is called cheap."""


@dataclass(frozen=True)
class Bare:
    """What the host costs by itself."""

    parameters: int
    multiply_adds: int
    memory: int
    bytes_moved: int


def measure_bare(host: Host) -> Bare:
    """Count what the host costs by itself."""
    traffic = count_traffic(host.model, host.example)
    return Bare(
        parameters=parameter_count(host.model),
        multiply_adds=count_multiply_adds(host.model, host.example),
        memory=_held(host.model, host.example) + traffic.peak_memory,
        bytes_moved=traffic.bytes_moved,
    )


def try_out(
    entry: Entry, host: Host, bare: Bare, budget: Budget, seconds: float, *, must_be_heard: bool
) -> Entry:
    """Insert, count, time; the entry comes back kept or dropped, with its numbers.

    Args:
        entry: what to put where.
        host: stays as it is.
        bare: its own costs.
        budget: what may not be exceeded.
        seconds: for the latency.
        must_be_heard: drop a mechanism that no output of the host depends on.
    """
    model = deepcopy(host.model)
    try:
        found = insert(
            model,
            entry.mechanism,
            where=list(entry.paths),  # of the modules that the hooks go on, whatever the position
            position="after",
            example_input=host.example,
        )
        traffic = count_traffic(model, host.example)
    except FovealError as error:
        return dropped(entry, "does not fit", f"it does not fit: {error}")
    entry = replace(
        entry,
        parameters=found.parameters_added,
        memory=_held(model, host.example) + traffic.peak_memory,
        bytes_moved=traffic.bytes_moved - bare.bytes_moved,
        heard=found.heard,
    )
    if not found.heard:
        reason = "no output changes, even at full strength: the head does not read what it changes"
        if must_be_heard:
            return dropped(entry, "not heard", reason)
        remedy = "; it needs a head that does, and a study of the host as it is would see nothing"
        entry = replace(entry, reasons=(*entry.reasons, reason + remedy))
    if budget.memory is not None and (entry.memory or 0) > budget.memory:
        return dropped(
            entry,
            "memory",
            f"a forward pass holds {in_bytes(entry.memory or 0)}, above the budget of "
            f"{in_bytes(budget.memory)}",
        )
    times = measure_latency(model, host.example, host.model, seconds=seconds)
    assert times.ratio is not None
    assert times.ratio_interval is not None
    assert times.baseline_p50_ms is not None
    timing = Timing(
        times.p50_ms, times.baseline_p50_ms, times.ratio, *times.ratio_interval, times.rounds
    )
    return judged(replace(entry, timing=timing), budget, added=host.shape is not None)


def judged(entry: Entry, budget: Budget, *, added: bool) -> Entry:
    """A timed entry, kept or dropped by the budget of latency.

    Args:
        added: whether a budget in milliseconds is for what is added, as it is for a bare shape.
    """
    t = entry.timing
    assert t is not None
    over = f"{t.ratio:.3f} [{t.low:.3f}, {t.high:.3f}] times the bare host's time"
    if budget.ratio is not None and t.ratio > budget.ratio:
        return dropped(entry, "latency", f"takes {over}, above the budget of {budget.ratio:g}")
    took = t.p50_ms - t.bare_p50_ms if added else t.p50_ms
    if budget.milliseconds is not None and took > budget.milliseconds:
        what = "adds" if added else "takes"
        return dropped(
            entry,
            "latency",
            f"{what} {took:.3g} ms, above the budget of {budget.milliseconds:g} ms",
        )
    reasons = [*entry.reasons, f"measured: {over}"]
    if budget.ratio is not None and t.low <= budget.ratio < t.high:
        reasons.append(f"the interval reaches beyond the budget of {budget.ratio:g}")
    if entry.prior < 0 and t.ratio <= CHEAP:
        reasons.append("the prior speaks against it, and measurement overrules that: it is cheap")
    return replace(entry, status="kept", group="kept", reasons=tuple(reasons))


def in_bytes(number: float) -> str:
    """Bytes for people.

    >>> in_bytes(8e9), in_bytes(46_827_520)
    ('8 GB', '46.83 MB')
    """
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= scale:
            return f"{number / scale:.4g} {unit}"
    return f"{number:.0f} B"


def _held(model: nn.Module, example: Any) -> int:
    """Bytes of the parameters, the buffers and the input."""
    tensors = {*model.parameters(), *model.buffers()}
    tensors |= {leaf for leaf in tree_leaves(example) if isinstance(leaf, Tensor)}
    return sum(t.numel() * t.element_size() for t in tensors)
