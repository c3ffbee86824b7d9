"""Putting mechanisms into a host that someone else wrote."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import nn

from foveal.core.errors import FovealError, did_you_mean
from foveal.surgery.build import attention_spec, build, is_born_identity
from foveal.surgery.compare import Outputs, difference, largest_difference, outputs
from foveal.surgery.example import keep_random_state
from foveal.surgery.fasten import fasten, fastened, loosen
from foveal.surgery.hook import Inserted
from foveal.surgery.hosts.adapter import HostAdapter, adapted
from foveal.surgery.place import POSITIONS, Spot, UnfitError, spots
from foveal.surgery.trace import trace
from foveal.surgery.where import Where, choose

Position = Literal["after", "before", "replace", "inside_residual"]
Init = Literal["identity", "paper"]
Factory = Callable[..., nn.Module]

PLAN_FORMAT = 1


@dataclass(frozen=True)
class Place:
    """One mechanism in its place."""

    path: str
    """The module of the host that it belongs to."""
    module: str
    """The path of the inserted module."""
    attention: str
    channels: int
    """That the mechanism is built for."""
    layout: str
    """What the host speaks there: `map`, `tokens`, `channels_last`, `clip` or several `maps`."""
    position: str
    calls: int
    """How often it runs in one forward pass."""
    parameters: int


@dataclass(frozen=True)
class Insertion:
    """What an insertion did."""

    places: list[Place]
    parameters_added: int
    keys_kept: int
    """How many keys the state dict had, all of which it still has."""
    keys_added: int
    largest_change: float
    """Largest absolute change of an output at birth; 0.0 for `init="identity"`."""
    heard: bool
    """Whether any output changes once the mechanisms are at full strength. If not, nothing behind
    them listens (a head that reads the class token alone, which a mechanism over maps leaves as it
    is, in the last block), or the head is still all zeros."""
    plan: dict[str, Any]
    """What `save_insertion` writes and `load_insertion` repeats."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Modules that a pattern matched and no mechanism could go to, with the reason."""

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data, for JSON."""
        return asdict(self)


def insert(
    model: nn.Module,
    attention: str | Factory,
    *,
    where: Where,
    position: Position = "after",
    init: Init = "identity",
    example_input: Any = None,
    options: Mapping[str, Any] | None = None,
) -> Insertion:
    """Put a mechanism into a model, in place, without changing what the model computes.

    Channels and layout are read off one forward pass. Either all places are filled or, if one of
    them does not fit or the outputs come out different, none and the model is as it was. The
    mechanisms draw their initial values from torch's generator as it stands, which is put back
    afterwards: the same seed gives the same mechanisms, and what the caller draws next is what it
    would have drawn.

    Args:
        model: any host, or the wrapper that a YOLO comes in; not yet compiled, scripted or wrapped
            for several processes.
        attention: a registered name, a mix of such as `"eca > coord"`, or a callable that takes the
            channels (and the options) and returns a module; its `forward` annotation says its
            layout, a map if there is none.
        where: a path, pattern, `regex:`, preset (`stage_ends`, `last_stage`, `every_block`,
            `backbone.last2`) or a list of these; see `foveal.surgery.where.choose`. A YOLO has
            presets of its own, `foveal.yolo.presets`, and its layers are named by their number too.
        position: `after` a module, taking its output; `before` it, taking its input; `replace`:
            taking its input and standing for its output; `inside_residual`: at the end of the
            residual branches of a block, before they are added to the shortcut.
        init: `identity`: y + s·(m(x) − y) with a learned s born 0, so that nothing changes at
            birth (born 1 where m itself returns its input at birth, for two zeros would never
            learn); `paper`: m(x) as the paper has it. With `replace` the first blends the mechanism
            with the module it replaces, the second no longer runs that module, whose parameters
            keep their keys and take no gradient until `remove` or `enable(model, False)`.
        example_input: what to call the model with: a tensor, a tuple of arguments or a dict of
            keyword arguments. Default: two images of the size that the host says it takes.
        options: the mechanism's own options.

    Raises:
        FovealError: if `where` matches nothing, a place does not fit, the mechanism refuses its
            channels, the forward pass fails, or the host's outputs would change other than by the
            mechanism (a host that runs whatever children it has); nothing is changed then.

    >>> host = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    >>> report = insert(host, "eca", where="0", example_input=torch.rand(1, 3, 8, 8))
    >>> report.places[0].path, report.places[0].channels, report.largest_change
    ('0', 8, 0.0)
    """
    _check_word("position", position, POSITIONS)
    _check_word("init", init, get_args(Init))
    options = dict(options or {})
    network, adapter = adapted(model)
    example = adapter.example(network) if example_input is None else example_input
    with adapter.undisturbed(network):
        traced = trace(network, example)
        found, skipped = adapter.spots(where, position, traced) or spots(
            choose(where, traced), position, traced
        )
        found = _fit(network, found, init, adapter, skipped)
        spec = attention_spec(attention)
        with keep_random_state(network):
            inserted = []
            for spot in found:
                mechanism = build(attention, spot, options)
                strength = strength_at_birth(mechanism, spot) if init == "identity" else None
                entry = _entry(spot, position, init, spec, options)
                inserted.append(Inserted(mechanism, strength, entry))
        change = put_in(network, found, inserted, traced.example, silent=init == "identity")
    result = report(network, found, inserted, change, skipped)
    adapter.inserted(model, result.plan)
    return result


def _fit(
    network: nn.Module,
    found: list[Spot],
    init: str,
    adapter: HostAdapter,
    skipped: dict[str, str],
) -> list[Spot]:
    """The spots where the host would keep a mechanism; the others are noted as passed over."""
    kept = []
    for spot in found:
        try:
            adapter.check(network, spot, init)
        except UnfitError as error:
            skipped[spot.path] = str(error)
        else:
            kept.append(spot)
    if not kept:
        raise FovealError(f"none of the places fits: {next(iter(skipped.values()))}")
    return kept


@dataclass(frozen=True)
class Change:
    """What fastening did to the host."""

    largest: float
    heard: bool
    """Whether the outputs would change if the mechanisms were at full strength."""
    keys: list[str]


def put_in(
    model: nn.Module, found: list[Spot], inserted: list[Inserted], example: Any, *, silent: bool
) -> Change:
    """Fasten all, compare the outputs, and undo all if they are not what they should be.

    Args:
        silent: whether the outputs must not change at all.
    """
    before, keys = outputs(model, example), set(model.state_dict())
    own = set(inserted)
    try:
        for spot, one in zip(found, inserted, strict=True):
            one.to(spot.feature.device, spot.feature.dtype).train(spot.module.training)
            one.entry["module"] = fasten(model, spot, one)
        if not silent:  # what the host computes around the mechanisms must be unchanged
            _switch(inserted, False)
            _check_unchanged(model, before, outputs(model, example))
            _switch(inserted, True)
        after = outputs(model, example)
        if silent:
            _check_unchanged(model, before, after)
        change = largest_difference(before.returned, after.returned)
        heard = change > 0 or _is_heard(model, inserted, before, example)
        lost = keys - set(model.state_dict())
        if lost:
            raise FovealError(f"the host would lose the keys {', '.join(sorted(lost)[:3])}")
    except Exception as error:
        _undo(model, own)
        if isinstance(error, FovealError):
            raise
        raise FovealError(
            f"with the insertion the forward pass of {type(model).__name__} fails: "
            f"{type(error).__name__}: {error}; if the host runs whatever children it has, choose "
            "modules inside it. The model is as it was"
        ) from error
    added = [key for key in model.state_dict() if key not in keys]
    return Change(change, heard, added)


def report(
    model: nn.Module,
    found: list[Spot],
    inserted: list[Inserted],
    change: Change,
    skipped: dict[str, str],
) -> Insertion:
    """The report of an insertion that has been made."""
    places = [
        Place(
            path=spot.path,
            module=one.entry["module"],
            attention=one.entry["attention"] or type(one.mechanism).__name__,
            channels=one.entry.get(
                "width", one.entry["channels"]
            ),  # of several maps: the common one
            layout=one.entry["layout"],
            position=one.entry["position"],
            calls=spot.calls,
            parameters=sum(p.numel() for p in one.parameters()),
        )
        for spot, one in zip(found, inserted, strict=True)
    ]
    return Insertion(
        places=places,
        parameters_added=sum(place.parameters for place in places),
        keys_kept=len(model.state_dict()) - len(change.keys),
        keys_added=len(change.keys),
        largest_change=change.largest,
        heard=change.heard,
        plan=plan_of(model, inserted),
        skipped=skipped,
    )


def plan_of(model: nn.Module, inserted: list[Inserted]) -> dict[str, Any]:
    """The insertions as plain data, with which they can be repeated."""
    from foveal import __version__

    return {
        "format": PLAN_FORMAT,
        "foveal": __version__,
        "host": type(model).__name__,
        "places": [dict(one.entry) for one in inserted],
    }


def _entry(
    spot: Spot, position: str, init: str, spec: str | None, options: dict[str, Any]
) -> dict[str, Any]:
    return {
        "path": spot.path,
        "attention": spec,
        "options": options,
        "position": position if position == "inside_residual" else spot.position,
        "init": init,
        "channels": spot.feature.channels,
        "layout": spot.feature.layout,
        "grid": list(spot.feature.size) if spot.feature.size else None,
        "prefix_tokens": spot.feature.prefix_tokens,
        "simple": spot.simple,
    } | ({"item": spot.item} if spot.item else {})


def _check_unchanged(model: nn.Module, before: Outputs, after: Outputs) -> None:
    change = difference(before, after)
    if change:
        raise FovealError(
            f"{type(model).__name__} does not compute the same with the insertion as without "
            f"(outputs differ by up to {change:.3g}): it runs whatever children it has, or its "
            "outputs are never the same twice. Choose modules inside it; the model is as it was"
        )


def strength_at_birth(mechanism: nn.Module, spot: Spot) -> float:
    """0, unless a mechanism that is born an identity takes and returns the same value: then
    neither of two factors born 0 would ever have a gradient, and the strength is born 1."""
    same_value = spot.position != "replace"
    return 1.0 if same_value and is_born_identity(mechanism, spot.feature) else 0.0


@torch.no_grad()
def _is_heard(model: nn.Module, inserted: list[Inserted], before: Outputs, example: Any) -> bool:
    """Whether the mechanisms, at full strength and once they have learned something, change what
    the model returns. What is changed for the trial is put back."""
    held = {p: p.clone() for one in inserted for p in one.parameters()}
    with keep_random_state(model):
        for parameter in held:
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    for one in inserted:
        if one.strength is not None:
            one.strength.fill_(1)
    full = outputs(model, example)
    for parameter, value in held.items():
        parameter.copy_(value)
    return largest_difference(before.returned, full.returned) > 0


def _undo(model: nn.Module, own: set[Inserted]) -> None:
    for _, module, hook in list(fastened(model)):
        if hook.inserted(module) in own:
            loosen(module, hook)


def _switch(inserted: list[Inserted], on: bool) -> None:
    for one in inserted:
        one.enabled = on


def _check_word(name: str, value: Any, words: tuple[str, ...]) -> None:
    if value not in words:
        hint = did_you_mean(value, words) if isinstance(value, str) else ""
        raise FovealError(f"{name}={value!r} must be one of {', '.join(words)}{hint}")
