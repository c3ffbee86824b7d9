"""An insertion made once more, from its plan, in another host of the same kind."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from foveal.core.errors import FovealError
from foveal.surgery.build import build, imported_class
from foveal.surgery.example import keep_random_state
from foveal.surgery.hook import Inserted
from foveal.surgery.hosts.adapter import adapted
from foveal.surgery.insert import Insertion, put_in, report, strength_at_birth
from foveal.surgery.levels import repeat_levels
from foveal.surgery.place import Spot, spot_at
from foveal.surgery.trace import Trace, trace


def repeat_insertion(
    model: nn.Module,
    plan: Mapping[str, Any],
    example_input: Any = None,
    fill: Callable[[int, Inserted], None] | None = None,
) -> Insertion:
    """Put the mechanisms of a plan into a fresh host, each in the place it had.

    Args:
        model: a host of the kind that the plan was made for.
        plan: `Insertion.plan`.
        example_input: as for `insert`.
        fill: called with the number and the module of each mechanism before it is put in, to load
            its weights; without it they are new, drawn from torch's generator as it stands.

    Raises:
        FovealError: if the host lacks a place or has other channels there, or a mechanism of the
            plan has no name or is not to be found; the host is as it was.

    >>> host, fresh = nn.Sequential(nn.Conv2d(3, 8, 3)), nn.Sequential(nn.Conv2d(3, 8, 3))
    >>> plan = insert(host, "eca", where="0", example_input=torch.rand(1, 3, 8, 8)).plan
    >>> repeat_insertion(fresh, plan, torch.rand(1, 3, 8, 8)).places[0].path
    '0'
    """
    network, adapter = adapted(model)
    example = adapter.example(network) if example_input is None else example_input
    with adapter.undisturbed(network):
        traced = trace(network, example)
        found, inserted = [], []
        with keep_random_state(network):
            for i, entry in enumerate(plan["places"]):
                spot, one = _repeated(network, entry, traced)
                adapter.check(network, spot, entry["init"])
                if fill is not None:
                    fill(i, one)
                found.append(spot)
                inserted.append(one)
        change = put_in(network, found, inserted, traced.example, silent=False)
    result = report(network, found, inserted, change, {})
    adapter.inserted(model, result.plan)
    return result


def _repeated(network: nn.Module, entry: Mapping[str, Any], traced: Trace) -> tuple[Spot, Inserted]:
    """The place of the plan in this host, and what goes there, as at birth."""
    if entry["path"] not in traced.calls:
        raise FovealError(
            f"{type(network).__name__} has no module {entry['path']!r} that runs; the insertion "
            "was made in another host"
        )
    if entry["layout"] == "maps":
        return repeat_levels(network, _attention(entry), dict(entry), traced)
    spot = _spot(entry, traced)
    mechanism = build(_attention(entry), spot, entry["options"])
    strength = strength_at_birth(mechanism, spot) if entry["init"] == "identity" else None
    return spot, Inserted(mechanism, strength, dict(entry))


def _spot(entry: Mapping[str, Any], traced: Trace) -> Spot:
    """The place of the plan in this host, if the host is of the same kind."""
    path = entry["path"]
    host = type(traced.root.module).__name__
    position = "after" if entry["position"] == "inside_residual" else entry["position"]
    spot = spot_at(path, position, traced, entry.get("item", 0))
    there = (spot.feature.channels, spot.feature.layout)
    if there != (entry["channels"], entry["layout"]):
        raise FovealError(
            f"{path} has {there[0]} channels as a {there[1]} in this {host}, and the insertion was "
            f"made for {entry['channels']} as a {entry['layout']}"
        )
    return spot


def _attention(entry: Mapping[str, Any]) -> Any:
    spec = entry["attention"]
    if spec is None:
        raise FovealError(
            f"{entry['path']}: the mechanism came from a function or a local class, which a plan "
            "cannot name; register it, or insert an importable class"
        )
    if not spec.startswith("py:"):
        return spec
    found = imported_class(spec)
    if found is None:
        raise FovealError(
            f"{entry['path']}: {spec} is not a module class that is imported; import "
            f"{spec.split(':')[1]} first"
        )
    return found
