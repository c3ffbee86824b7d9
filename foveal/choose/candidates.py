"""What can be said without running anything: limits, layouts, and the costs that cards state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from foveal.choose.budget import Budget
from foveal.choose.choice import Entry
from foveal.choose.places import Host, Place
from foveal.choose.prior import Rule, Setting, rules_for
from foveal.choose.runtime import hindrance
from foveal.core.card import Card
from foveal.core.errors import FovealError
from foveal.core.registry import attention_info, create_attention
from foveal.surgery.place import Spot


def candidates(
    host: Host,
    places: Sequence[Place],
    mechanisms: Sequence[str],
    setting: Setting,
    budget: Budget,
    bare_parameters: int,
) -> list[Entry]:
    """An entry for every mechanism at every place, the impossible and too large ones dropped."""
    allowed = budget.parameters_of(bare_parameters)
    said = (
        None
        if budget.share is None
        else f"{100 * budget.share:.3g} % of the bare model's parameters"
    )
    built: dict[tuple[str, int], nn.Module | str] = {}
    entries = []
    for card in map(attention_info, mechanisms):
        nowhere = _nowhere(card, places, setting)
        if nowhere is not None:
            entries.append(nowhere)
            continue
        for place in places:
            entry = _entry(card, place, rules_for(card, place, setting))
            unfit = _unfit(card, place)
            if unfit is not None:
                entries.append(dropped(entry, "does not fit", unfit))
                continue
            try:
                entry = _with_costs(entry, card, place, built)
            except FovealError as error:
                entries.append(dropped(entry, "does not fit", f"it refuses the place: {error}"))
                continue
            if allowed is not None and (entry.parameters or 0) > allowed:
                share = f" ({said})" if said else ""
                words = f"adds {entry.parameters:,} parameters, above the budget of {allowed:,}"
                entry = dropped(entry, "parameters", words + share)
            entries.append(entry)
    return entries


def dropped(entry: Entry, group: str, reason: str) -> Entry:
    """The entry, dropped. Where the prior spoke for it, that it was overruled is said."""
    favours = [rule["name"] for rule in entry.rules if rule["points"] > 0]
    if favours and group in ("parameters", "memory", "latency"):
        reason += f"; this overrules the prior, which speaks for it ({', '.join(favours)})"
    return replace(entry, status="dropped", group=group, reasons=(*entry.reasons, reason))


def _nowhere(card: Card, places: Sequence[Place], setting: Setting) -> Entry | None:
    """The only entry of a mechanism that can stand in none of the places, and why."""
    entry = Entry(
        mechanism=card.name,
        family=card.family,
        where=None,
        position=None,
        paths=(),
        status="dropped",
        group="",
        reasons=(),
        limits=dict(card.limits),
    )
    hindered = hindrance(card.limits, setting.runtime)
    if hindered is not None:
        return dropped(entry, "runtime", hindered)
    if card.need is not None:
        return replace(entry, status="by hand", group="no drop-in", reasons=(f"it {card.need}",))
    if card.layout == "video" and all(place.layout != "clip" for place in places):
        reason = "it takes a video (B, T, C, H, W), and here no tensor has a time"
        if setting.task != "video":
            return dropped(entry, "no time axis", reason)
        remedy = "; a host over clips has one, or a shape TxCxHxW, or call it from a forward of "
        return replace(
            entry, status="by hand", group="no time axis", reasons=(f"{reason}{remedy}your own",)
        )
    return None


def _unfit(card: Card, place: Place) -> str | None:
    if card.layout == "video" and place.layout != "clip":
        return "it takes a video, and here no tensor has a time"
    if card.layout == "map" and any(spot.feature.size is None for spot in place.spots):
        return "it takes a map, and the grid of the tokens is not known here"
    return None


def _entry(card: Card, place: Place, rules: Sequence[Rule]) -> Entry:
    return Entry(
        mechanism=card.name,
        family=card.family,
        where=place.where,
        position=place.position,
        paths=place.paths,
        status="not measured",
        group="not measured",
        reasons=tuple(f"{rule.source}: {rule.says} ({rule.points:+d})" for rule in rules),
        rules=tuple({"name": r.name, "points": r.points, "source": r.source} for r in rules),
        prior=sum(rule.points for rule in rules),
        limits=dict(card.limits),
    )


def _with_costs(
    entry: Entry, card: Card, place: Place, built: dict[tuple[str, int], nn.Module | str]
) -> Entry:
    """The costs that the card's formulas give, of the module built without memory."""
    parameters = multiply_adds = 0
    for spot in place.spots:
        channels = spot.feature.channels
        assert channels is not None
        key = card.name, channels
        if key not in built:
            built[key] = _build(*key)
        module = built[key]
        if isinstance(module, str):
            raise FovealError(module)
        height, width, frames = _sizes(card, spot)
        costs = card.cost(module, channels, height, width, T=frames)
        runs = spot.calls * (frames if card.layout != "video" else 1)
        parameters += sum(p.numel() for p in module.parameters()) + 1  # the strength
        multiply_adds += runs * costs.get("multiply_adds", 0)
    return replace(entry, parameters=parameters, multiply_adds=multiply_adds)


def _build(name: str, channels: int) -> nn.Module | str:
    """The module on the meta device, or why there is none for that many channels."""
    try:
        with torch.device("meta"):
            return create_attention(name, channels)
    except Exception as error:  # a third party's mechanism may raise anything
        return f"with {channels} channels: {error}"


def _sizes(card: Card, spot: Spot) -> tuple[int, int, int]:
    """Height, width and frames that a mechanism meets; for tokens N and 1."""
    shape, feature = spot.feature.shape, spot.feature
    frames = shape[2] if feature.layout == "clip" else 1
    if card.layout == "tokens" and feature.layout == "tokens":
        return shape[1], 1, frames
    height, width = feature.size or (shape[1], 1)
    return height, width, frames
